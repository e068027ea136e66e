"""Checks when the certificates of the broker's listeners expire."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from laundry_service.telemetry.certificates import EXPIRY, certificate_shown, end_of, own_certificate

DEFAULT_PORTS = {"amqps": 5671, "https": 443}

log = structlog.get_logger(__name__)


def encrypted(urls: Iterable[str]) -> list[str]:
    """Return ``host:port`` of each address that is encrypted."""
    parts = [each for each in map(urlsplit, urls) if each.scheme in DEFAULT_PORTS]
    return [f"{each.hostname}:{each.port or DEFAULT_PORTS[each.scheme]}" for each in parts]


class CertificateWatch:
    """Sets each endpoint's metric; an endpoint that does not answer has none until it does."""

    def __init__(self, endpoints: Sequence[str], amqp_url: str) -> None:
        """Watch ``host:port`` endpoints; ``amqp_url`` names the certificate to show them."""
        self._endpoints = list(dict.fromkeys(endpoints))
        self._own: Path | None = own_certificate(amqp_url)

    async def look(self) -> None:
        """Look at each endpoint once."""
        await asyncio.gather(*(self._look_at(endpoint) for endpoint in self._endpoints))

    async def _look_at(self, endpoint: str) -> None:
        host, _, port = endpoint.rpartition(":")
        try:
            shown = await asyncio.to_thread(certificate_shown, host, int(port), own=self._own)
        except OSError as error:
            log.warning("a certificate could not be looked at", endpoint=endpoint, error=str(error))
            EXPIRY.remove(endpoint)
        else:
            EXPIRY.labels(endpoint).set(end_of(shown))
