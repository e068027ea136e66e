"""What passes between a browser and the services, and how headers and paths are rewritten.

Rules only; ``proxy.py`` moves the bytes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

Headers = list[tuple[str, str]]

# RFC 9110 §7.6.1, and the older names that clients still send.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Services take bearer tokens, so cookies end here; the span made here is the parent of
# theirs, so the caller's own trace headers end here; Host is the service's.
NOT_FORWARDED = frozenset(
    {
        "host",
        "cookie",
        # Which session the pages believe to have; judged here.
        "x-signed-in-as",
        "expect",
        "traceparent",
        "tracestate",
        "baggage",
        # What callers claim about their address; the proxy writes what it knows.
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
    }
)
# This process's own server sets these.
NOT_RETURNED = frozenset({"server", "date", "set-cookie", "location"})

PREFIX = "/api"


@dataclass(frozen=True)
class Upstream:
    """One service: its address without a trailing slash, and the first path segments that are public."""

    name: str
    url: str
    resources: frozenset[str]

    def admits(self, raw_path: str) -> bool:
        """Whether a path (as sent, percent-encoded, without the leading slash) is part of the public API.

        Probes, metrics and API documents are for inside the cluster, so only known resources pass; dot
        segments are refused, encoded or not, because services may resolve them differently.
        """
        segments = [unquote(segment) for segment in raw_path.split("/")]
        if any(segment in {".", ".."} or "/" in segment or "\\" in segment for segment in segments):
            return False
        return segments[0] in self.resources

    def here(self, location: str) -> str | None:
        """Turn a ``Location`` of the service into one that leads back through here.

        Returns:
            None for an address that is neither a path nor the service's own.
        """
        path = location.removeprefix(self.url)
        if path.startswith("/") and not path.startswith("//"):
            return f"{PREFIX}/{self.name}{path}"
        return None


def is_stream(raw_path: str) -> bool:
    """Whether a path (as sent, percent-encoded) is an event stream, which never ends by itself."""
    return unquote(raw_path).rstrip("/").endswith("/stream")


def forwarded(headers: Iterable[tuple[str, str]]) -> Headers:
    """Return the request headers that a service may see."""
    return _without(headers, NOT_FORWARDED)


def returned(headers: Iterable[tuple[str, str]], upstream: Upstream) -> Headers:
    """Return the response headers that a browser may see, with ``Location`` leading through here."""
    pairs = list(headers)
    kept = _without(pairs, NOT_RETURNED)
    for name, value in pairs:
        if name.lower() == "location" and (location := upstream.here(value)) is not None:
            kept.append(("location", location))
    return kept


def _without(headers: Iterable[tuple[str, str]], dropped: frozenset[str]) -> Headers:
    pairs = [(name.lower(), value) for name, value in headers]
    # Connection lists further hop-by-hop headers.
    named = {
        token.strip().lower() for name, value in pairs if name == "connection" for token in value.split(",")
    }
    return [
        (name, value)
        for name, value in pairs
        if name not in HOP_BY_HOP and name not in dropped and name not in named
    ]
