"""Which addresses may be pushed to: callers name them, so only known push services are asked (SSRF)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from itertools import chain
from urllib.parse import urlsplit

# Chrome and its kin, Firefox, Safari, Edge.
DEFAULT = ("fcm.googleapis.com", "*.push.services.mozilla.com", "*.push.apple.com", "*.notify.windows.com")
HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*")
PATH = re.compile(r"[\x21-\x7e]*")
PORTS = {"https": 443, "http": 80}
# Gateways to IPv4 (RFC 6052): what matters is the address behind them.
TRANSLATED = IPv6Network("64:ff9b::/96")


class NotAllowed(ValueError):
    """An endpoint is not a known push service's; the message says why."""


@dataclass(frozen=True)
class Endpoint:
    """Where one browser's pushes go.

    Attributes:
        service: the entry of the allow-list that admits it.
        anywhere: the entry names this very address, which may then be inside.
    """

    scheme: str
    host: str
    port: int
    target: str
    service: str
    anywhere: bool

    @property
    def origin(self) -> str:
        """``https://host``, with a port only where it is not the usual one."""
        usual = PORTS[self.scheme] == self.port
        return f"{self.scheme}://{self.host}" + ("" if usual else f":{self.port}")


class PushServices:
    """The allow-list: hosts, ``*.domain``, origins such as ``http://127.0.0.1:8010``, and ``default``.

    A host is reached by HTTPS at a public address. An origin is one that the operator vouches for.
    """

    def __init__(self, entries: Sequence[str]) -> None:
        """Read the entries. Raises ValueError for one that is neither."""
        self._hosts: set[str] = set()
        self._domains: list[str] = []
        self._origins: set[tuple[str, str, int]] = set()
        for entry in chain.from_iterable(DEFAULT if each == "default" else [each] for each in entries):
            if "://" in entry:
                self._origins.add(_origin(entry))
            elif not HOST.fullmatch(entry.removeprefix("*.")):
                raise ValueError(
                    f"{entry!r} is neither a host, nor *.domain, nor an origin such as http://host:80"
                )
            elif entry.startswith("*."):
                self._domains.append(entry)
            else:
                self._hosts.add(entry)

    @property
    def anywhere(self) -> frozenset[tuple[str, int]]:
        """Hosts and ports of the origins, which may be inside."""
        return frozenset((host, port) for _, host, port in self._origins)

    def endpoint(self, address: str) -> Endpoint:
        """Read an endpoint. Raises NotAllowed."""
        try:
            parts = urlsplit(address)
            port = parts.port
        except ValueError:
            raise NotAllowed("it is no address") from None
        scheme, host = parts.scheme, parts.hostname or ""
        if scheme not in PORTS or not host or "@" in parts.netloc or "#" in address:
            raise NotAllowed("it is not an https address")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not PATH.fullmatch(target):
            raise NotAllowed("it has characters that no address has")
        named = (scheme, host, port or PORTS[scheme])
        if named in self._origins:
            origin = f"{scheme}://{host}:{named[2]}"
            return Endpoint(*named, target=target, service=origin, anywhere=True)
        if scheme != "https" or port not in {None, 443}:
            raise NotAllowed("it is not an https address")
        service = self._service(host)
        return Endpoint(*named, target=target, service=service, anywhere=False)

    def _service(self, host: str) -> str:
        if HOST.fullmatch(host):
            if host in self._hosts:
                return host
            for domain in self._domains:
                if host.endswith(domain[1:]):
                    return domain
        raise NotAllowed("it is not at a push service that is known here")


def _origin(entry: str) -> tuple[str, str, int]:
    parts = urlsplit(entry)
    if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/") or "@" in parts.netloc:
        raise ValueError(f"{entry!r} is no origin such as http://127.0.0.1:8010")
    return parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme]


def is_public(text: str) -> bool:
    """Whether an IP address is one of the internet: neither this machine, nor its network, nor metadata."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = _within(address)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    )


def _within(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 one stands for."""
    if address in TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
