"""The key pair that push services of browsers know our pushes by (VAPID, RFC 8292)."""

import base64

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PRIVATE_BYTES = 32


def new_private_key() -> str:
    """Make a private key: the base64url of its 32 bytes, without padding."""
    number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    return _base64url(number.to_bytes(PRIVATE_BYTES))


def public_key(private: str) -> str:
    """Return the other half, with which browsers subscribe (``applicationServerKey``)."""
    number = int.from_bytes(base64.urlsafe_b64decode(private + "="))
    public = ec.derive_private_key(number, ec.SECP256R1()).public_key()
    return _base64url(public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
