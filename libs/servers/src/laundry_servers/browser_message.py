"""Reads a pushed message as a browser does (RFC 8188 and 8291), without the library that encrypts it.

Only what a push service passes on is read: one record, ``aes128gcm``.
"""

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SALT_BYTES = 16
POINT_BYTES = 65
HEADER_BYTES = SALT_BYTES + 4 + 1
LAST_RECORD = b"\x02"


class BadMessage(ValueError):
    """A body is no message of Web Push."""


def open_message(body: bytes, private: ec.EllipticCurvePrivateKey, auth: bytes) -> bytes:
    """Decrypt a message.

    Args:
        body: as it was pushed: salt, record size, the sender's public key, one record.
        private, auth: the browser's key and secret.

    Raises:
        BadMessage: it is not of this form. ``InvalidTag``: it is encrypted for somebody else.
    """
    salt, record_size = body[:SALT_BYTES], int.from_bytes(body[SALT_BYTES : SALT_BYTES + 4])
    if len(body) <= HEADER_BYTES + POINT_BYTES or body[HEADER_BYTES - 1] != POINT_BYTES:
        raise BadMessage("its header names no key")
    sender, record = body[HEADER_BYTES : HEADER_BYTES + POINT_BYTES], body[HEADER_BYTES + POINT_BYTES :]
    if len(record) > record_size:
        raise BadMessage("it has more than one record")
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    shared = private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
    secret = _expand(_extract(auth, shared), b"WebPush: info\0" + point + sender, 32)
    pseudorandom = _extract(salt, secret)
    key = _expand(pseudorandom, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _expand(pseudorandom, b"Content-Encoding: nonce\0", 12)
    padded = AESGCM(key).decrypt(nonce, record, None)
    text, delimiter, padding = padded.rpartition(LAST_RECORD)
    if not delimiter or padding.strip(b"\0"):
        raise BadMessage("its last record has no end")
    return text


def _extract(salt: bytes, material: bytes) -> bytes:
    return hmac.digest(salt, material, hashlib.sha256)


def _expand(key: bytes, info: bytes, size: int) -> bytes:
    """HKDF-Expand (RFC 5869) of one block, which is all that is needed."""
    return hmac.digest(key, info + b"\x01", hashlib.sha256)[:size]
