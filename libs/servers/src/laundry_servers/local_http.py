"""Requests to servers of this machine, over HTTP without TLS."""

import ssl
from functools import cache

import httpx

# A client reads the certificates of every authority otherwise, which takes 30 ms of a processor each time.
TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@cache
def local_http() -> httpx.Client:
    """Return the one client for all of them."""
    return httpx.Client(verify=TRUSTS_NOBODY, timeout=5, trust_env=False)
