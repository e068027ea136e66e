"""Keys that an OpenID provider signs with: RSA in PKCS #8, base64 on one line, which an env file can hold."""

import base64
import binascii

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

BITS = 2048


def new_key() -> str:
    """Make a private RSA key, as base64 of its DER form."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    der = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return base64.b64encode(der).decode()


def pems(keys: str) -> list[str]:
    """Return the keys of a comma-separated text as PEM, in their order.

    Raises:
        ValueError: one of them cannot be used; the message holds nothing of it.
    """
    return [_pem(each.strip(), number) for number, each in enumerate(keys.split(","), start=1)]


def _pem(text: str, number: int) -> str:
    try:
        key = serialization.load_der_private_key(base64.b64decode(text, validate=True), password=None)
    except (ValueError, TypeError, binascii.Error):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < BITS:
        raise ValueError(f"key {number} is not an RSA key of {BITS} bits or more (PKCS #8 in base64)")
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
