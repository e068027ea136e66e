"""The client address of a request behind proxies: only trusted proxies are believed.

A proxy appends to ``X-Forwarded-For`` the address that connected to it. Anything further to the left was sent
by that address itself, which may be anybody.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_settings import NoDecode
from starlette.types import Scope

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK: tuple[Network, ...] = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))
# No more entries than this are examined, from the right.
MAX_HOPS = 16


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


# A setting: addresses and networks (CIDR), separated by commas; the empty text trusts nobody.
Networks = Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_split)]


def trusted(peer: str, networks: Iterable[Network]) -> bool:
    """Whether an address is in one of the networks; what is no address (a Unix socket) is not."""
    address = _parse(peer)
    return address is not None and any(address in network for network in networks)


def client_address(scope: Scope) -> str:
    """Return the client address of a request, e.g. ``203.0.113.7``; ``unknown`` where there is none.

    The app's ``state.trusted_proxies`` (``LAUNDRY_TRUSTED_PROXIES``; loopback if unset) says whose
    ``X-Forwarded-For`` is believed.
    """
    networks = getattr(getattr(scope.get("app"), "state", None), "trusted_proxies", LOOPBACK)
    peer = scope.get("client")
    said = [value.decode("latin-1") for name, value in scope.get("headers", ()) if name == b"x-forwarded-for"]
    return resolve(peer[0] if peer else "", said, networks)


def came_by_tls(scope: Scope) -> bool:
    """Whether the caller spoke TLS, here or to a trusted proxy that says so (``X-Forwarded-Proto``)."""
    if scope.get("scheme") == "https":
        return True
    networks = getattr(getattr(scope.get("app"), "state", None), "trusted_proxies", LOOPBACK)
    peer = scope.get("client")
    said = [value for name, value in scope.get("headers", ()) if name == b"x-forwarded-proto"]
    return bool(said and peer and trusted(peer[0], networks)) and said[-1].strip().lower() == b"https"


def resolve(peer: str, forwarded_for: Sequence[str], networks: Iterable[Network]) -> str:
    """Return the nearest address that is no trusted proxy; if all are, the farthest.

    Args:
        peer: the address that the connection comes from.
        forwarded_for: the values of ``X-Forwarded-For``, in the order of the headers.
        networks: the proxies that are trusted.
    """
    networks = tuple(networks)
    address = _parse(peer)
    if address is None:
        return peer or "unknown"
    hops = [hop for value in forwarded_for for hop in value.split(",")][-MAX_HOPS:]
    while hops and any(address in network for network in networks):
        said = _parse(hops.pop())
        if said is None:
            break
        address = said
    return str(address)


def _parse(text: str) -> Address | None:
    """Read an address; some proxies add a port, and a dual-stack socket shows IPv4 inside IPv6."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
