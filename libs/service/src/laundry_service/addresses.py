"""Whose address a request comes from.

uvicorn has put the client's own address into the scope where a trusted proxy told it
(``LAUNDRY_TRUSTED_PROXIES``); what anybody else says in ``X-Forwarded-For`` counts for nothing.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

# One customer of a provider has at least a /64 of IPv6: its addresses are one.
IPV6_PREFIX = 64
UNKNOWN = "unknown"


def client_address(scope: Mapping[str, Any]) -> str:
    """Return what a request's address is counted under: an IPv4 address, an IPv6 /64, or ``unknown``."""
    client = scope.get("client")
    return UNKNOWN if not client else grouped(str(client[0]))


def grouped(text: str) -> str:
    """Return an address as it is counted; ``unknown`` for what is none."""
    try:
        # Without the zone of a link-local address, which is a name of this machine's own.
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(address), IPV6_PREFIX), strict=False))
        address = address.ipv4_mapped
    return str(address)
