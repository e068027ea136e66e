"""The keys that sign tokens, read once."""

from functools import cache

from allauth.core.internal import jwkkit


def read_keys_once() -> None:
    """Cache the keys, which allauth reads for each token: checking an RSA key costs as much as a password.

    A sign-in reads the key twice, and so does each refresh of everybody's session.
    """
    jwkkit.load_pem = cache(jwkkit.load_pem)
