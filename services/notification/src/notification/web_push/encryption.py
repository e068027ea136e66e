"""Encrypts a message for one browser (RFC 8291): push services carry what they cannot read."""

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec

from notification.model import BrowserKeys
from notification.web_push import base64url

MAX_PLAINTEXT_BYTES = 3993
"""A push service takes 4,096 bytes; salt, key, tag and padding are 103 of them."""
AUTH_BYTES = 16
POINT_BYTES = 65
ENCODING = "aes128gcm"


class BadSubscription(ValueError):
    """The keys of a subscription are none; the message says which."""


def check_keys(keys: BrowserKeys) -> None:
    """Check that the public key is a point of P-256 and the secret has 16 bytes. Raises BadSubscription."""
    try:
        point = base64url.decode(keys.p256dh)
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise BadSubscription("p256dh is not the base64url of a point on P-256") from None
    # The library takes compressed points as well, which no browser sends.
    if len(point) != POINT_BYTES:
        raise BadSubscription(f"p256dh has {len(point)} bytes, not {POINT_BYTES}")
    try:
        secret = base64url.decode(keys.auth)
    except ValueError:
        raise BadSubscription("auth is not base64url") from None
    if len(secret) != AUTH_BYTES:
        raise BadSubscription(f"auth has {len(secret)} bytes, not {AUTH_BYTES}")


def encrypt(plaintext: bytes, keys: BrowserKeys) -> bytes:
    """Encrypt with a key pair and a salt made for this message alone.

    Raises:
        ValueError: it is too long, or the keys are none.
    """
    if len(plaintext) > MAX_PLAINTEXT_BYTES:
        raise ValueError(f"{len(plaintext)} bytes are to be encrypted, {MAX_PLAINTEXT_BYTES} at most")
    encrypted: bytes = http_ece.encrypt(
        plaintext,
        private_key=ec.generate_private_key(ec.SECP256R1()),
        dh=base64url.decode(keys.p256dh),
        auth_secret=base64url.decode(keys.auth),
        version=ENCODING,
    )
    return encrypted
