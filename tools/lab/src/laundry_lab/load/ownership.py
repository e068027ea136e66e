"""Makes sure that only the owner of a system puts load on it."""

import ipaddress
import socket
from urllib.parse import urlsplit

import psutil

from laundry_servers.errors import LaundryError


def check_owned(url: str, *, owned: bool) -> None:
    """Refuse an address that is not of this machine, unless its owner says so.

    Raises:
        LaundryError: it is not, or not known.
    """
    host = urlsplit(url).hostname
    if host is None:
        raise LaundryError(f"{url!r} is no address; example: http://127.0.0.1:8001")
    if owned:
        return
    try:
        addresses = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise LaundryError(f"{host} is not known here: {error}") from error
    if not all(_of_this_machine(str(each)) for each in addresses):
        raise LaundryError(
            f"{host} is not this machine. Load only what is yours, and say so with --i-own-this-system."
        )


def _of_this_machine(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    own = {each.address.partition("%")[0] for names in psutil.net_if_addrs().values() for each in names}
    return found.is_loopback or str(found) in own
