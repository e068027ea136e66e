"""When certificates end, as a metric: those that listeners show, and one's own."""

import asyncio
import math
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from laundry_servers.authority import Authority, read
from laundry_service.telemetry.certificates import watch_own
from operations.service.certificates import CertificateWatch, encrypted

NAME = "laundry_certificate_expiry_timestamp_seconds"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "tls")
    made.issue("client")
    return made


@pytest_asyncio.fixture
async def listener(authority: Authority) -> AsyncIterator[asyncio.Server]:
    """A server that demands a certificate, and whose own is over since yesterday."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(authority.issue("server", ["broker.example"], days=-1))

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0, ssl=context) as server:
        yield server


def told(endpoint: str) -> float | None:
    return REGISTRY.get_sample_value(NAME, {"endpoint": endpoint})


async def test_a_listener_tells_when_its_certificate_ends_even_if_it_is_over(
    authority: Authority, listener: asyncio.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("laundry_service.telemetry.certificates.TIMEOUT_S", 60)
    endpoint = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    own = authority.path_of("client")
    watch = CertificateWatch([endpoint, "127.0.0.1:9"], f"amqps://u:p@{endpoint}/?certfile={own}")
    await watch.look()
    yesterday = (datetime.now(UTC) - timedelta(days=1)).timestamp()
    assert told(endpoint) == pytest.approx(yesterday, abs=60)
    assert told("127.0.0.1:9") is None
    listener.close()
    await watch.look()
    assert told(endpoint) is None, "what is no longer known is not told"


def test_ones_own_is_read_again_at_every_scrape(authority: Authority) -> None:
    path = authority.path_of("client")
    watch_own(f"amqps://u:p@broker/?cafile=x&certfile={path}", client="one")
    for days in (5, 50):
        authority.issue("client", days=days)
        assert told("client one") == read(path).not_after.timestamp()
    path.unlink()
    assert math.isnan(told("client one") or 0)
    watch_own("amqp://u:p@broker/", client="another")
    assert told("client another") is None


def test_encrypted_addresses_are_watched_without_being_named() -> None:
    urls = ["amqps://u:p@broker/laundry?cafile=x", "https://one:15671", "http://two:15672", "amqp://three"]
    assert encrypted(urls) == ["broker:5671", "one:15671"]
