"""Makes sure that only the owner of a system puts load on it."""

import ipaddress
import socket
from urllib.parse import urlsplit

import psutil

from laundry_servers.errors import LaundryError

SCHEMES = ("http", "https", "amqp", "amqps")


def check_owned(url: str, *, owned: bool) -> None:
    """Refuse an address that is not of this machine, unless its owner says so.

    Raises:
        LaundryError: it is not, or not known.
    """
    host = _host(url)
    if owned:
        return
    try:
        addresses = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except (OSError, ValueError) as error:
        raise LaundryError(f"{host} is not known here: {error}") from error
    if not all(_of_this_machine(str(each)) for each in addresses):
        raise LaundryError(
            f"{host} is not this machine. Load only what is yours, and say so with --i-own-this-system."
        )


def _host(url: str) -> str:
    why = ""
    try:
        parts = urlsplit(url)
        # Asking for the port is what checks it.
        if parts.scheme in SCHEMES and parts.hostname and parts.port != 0:
            return parts.hostname
    except ValueError as error:
        why = f" ({error})"
    raise LaundryError(f"{url!r} is no address{why}; example: http://127.0.0.1:8001")


def _of_this_machine(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    own = {each.address.partition("%")[0] for names in psutil.net_if_addrs().values() for each in names}
    return found.is_loopback or str(found) in own
