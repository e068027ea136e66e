"""The client of push services: real connections, hostile answers, and addresses that lead inside."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpcore
import pytest

from laundry_testing.messaging import eventually
from notification.model import BrowserKeys
from notification.push import Push, PusherByDevice, PushResult, PushStatus
from notification.web_push.addresses import PublicNetwork
from notification.web_push.endpoints import PushServices
from notification.web_push.pusher import WebPusher
from notification.web_push.vapid import VapidKey

from .conftest import VAPID_KEY
from .test_web_push import KEYS

Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def a_push(endpoint: str, keys: BrowserKeys | None = KEYS) -> Push:
    data = {"kind": "equipment_fault", "notification_id": "n1"}
    return Push("n1", endpoint, {"title": "제목", "body": "b"}, data, "e1", urgent=True, keys=keys)


@asynccontextmanager
async def listening(answer: Answering) -> AsyncIterator[str]:
    """A server that answers each connection so; its origin."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def pushing(*services: str, timeout_s: float = 60) -> AsyncIterator[WebPusher]:
    pusher = WebPusher(
        key=VapidKey(VAPID_KEY),
        subject="mailto:operator@laundry.example",
        services=PushServices(services),
        attempt_timeout_s=timeout_s,
    )
    await pusher.start()
    yield pusher
    await pusher.stop()


def saying(raw: bytes, asked: list[bytes]) -> Answering:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(raw)
        await writer.drain()
        writer.close()

    return answer


async def test_a_push_is_asked_for_as_the_standards_say() -> None:
    asked: list[bytes] = []
    created = saying(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", asked)
    async with listening(created) as origin, pushing(origin) as pusher:
        result = await pusher.push(a_push(f"{origin}/a/b?c=d%2Fe"))
    assert result == PushResult(PushStatus.SENT)
    [head] = asked
    first, *lines = head.decode().strip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert first == "POST /a/b?c=d%2Fe HTTP/1.1"
    assert headers["host"] == origin.removeprefix("http://")
    assert (headers["ttl"], headers["urgency"], headers["content-encoding"]) == ("3600", "high", "aes128gcm")
    assert len(headers["topic"]) == 32
    assert headers["authorization"].startswith("vapid t=")
    assert int(headers["content-length"]) > 103


async def test_a_redirect_is_not_followed() -> None:
    reached: list[bytes] = []
    moved: list[bytes] = []
    async with listening(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", reached)) as inside:
        redirect = f"HTTP/1.1 307 Moved\r\nLocation: {inside}/admin\r\nContent-Length: 0\r\n\r\n".encode()
        async with listening(saying(redirect, moved)) as origin, pushing(origin, inside) as pusher:
            result = await pusher.push(a_push(f"{origin}/x"))
    assert result.status is PushStatus.LATER
    assert (len(moved), reached) == (1, [])


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def trickling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    try:
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)
    except ConnectionError:
        return


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n")
    try:
        while True:
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()
    except ConnectionError:
        return


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    await writer.drain()
    writer.close()


async def gone(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize(
    ("answer", "status", "timeout_s"),
    [
        (silent, PushStatus.LATER, 0.5),
        (trickling, PushStatus.LATER, 0.5),
        # These are over by themselves, long before the patience is.
        (endless, PushStatus.REFUSED, 30),
        (garbage, PushStatus.LATER, 30),
        (gone, PushStatus.LATER, 30),
    ],
    ids=["silent", "trickling", "endless", "garbage", "gone"],
)
async def test_a_push_service_that_misbehaves_costs_no_more_than_the_time_of_a_try(
    answer: Answering, status: PushStatus, timeout_s: float
) -> None:
    async with listening(answer) as origin, pushing(origin, timeout_s=timeout_s) as pusher:
        async with asyncio.timeout(20):
            result = await pusher.push(a_push(f"{origin}/x"))
    assert result.status is status
    assert result.error is not None and len(result.error) <= 500


async def test_a_push_service_that_is_not_there() -> None:
    async with pushing("http://127.0.0.1:1") as pusher:
        assert (await pusher.push(a_push("http://127.0.0.1:1/x"))).status is PushStatus.LATER


async def test_an_endpoint_that_is_no_longer_allowed_is_not_asked() -> None:
    asked: list[bytes] = []
    async with (
        listening(saying(b"HTTP/1.1 201 Created\r\n\r\n", asked)) as origin,
        pushing("default") as pusher,
    ):
        result = await pusher.push(a_push(f"{origin}/x"))
    assert (result.status, asked) == (PushStatus.REFUSED, [])


def answers(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name lead to these addresses; returns the names that were looked up."""
    looked_up: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        looked_up.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr("notification.web_push.addresses.socket.getaddrinfo", getaddrinfo)
    return looked_up


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "169.254.169.254"], ["::ffff:10.0.0.1"]])
async def test_a_known_name_that_leads_inside_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    looked_up = answers(monkeypatch, *addresses)
    connected: list[str] = []
    network = PublicNetwork()

    async def connect_tcp(host: str, *_: Any) -> Any:
        connected.append(host)
        raise AssertionError

    monkeypatch.setattr(network._inner, "connect_tcp", connect_tcp)
    pusher = WebPusher(
        key=VapidKey(VAPID_KEY),
        subject="mailto:a@b.example",
        services=PushServices(["default"]),
        attempt_timeout_s=5,
        network=network,
    )
    await pusher.start()
    result = await pusher.push(a_push("https://wns2-x.notify.windows.com/w/?token=1"))
    await pusher.stop()
    assert result.status is PushStatus.LATER
    assert "no public address" in str(result.error)
    assert looked_up == ["wns2-x.notify.windows.com"]
    assert connected == []


async def test_the_address_that_was_judged_is_the_one_that_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_up = answers(monkeypatch, "8.8.8.8", "8.8.4.4")
    connected: list[tuple[str, int]] = []
    network = PublicNetwork()

    async def connect_tcp(host: str, port: int, *_: Any) -> str:
        connected.append((host, port))
        if host == "8.8.8.8":
            raise httpcore.ConnectError("unreachable")
        return "a stream"

    monkeypatch.setattr(network._inner, "connect_tcp", connect_tcp)
    stream: Any = await network.connect_tcp("web.push.apple.com", 443)
    network.close()
    assert stream == "a stream"
    assert (looked_up, connected) == (["web.push.apple.com"], [("8.8.8.8", 443), ("8.8.4.4", 443)])


async def test_a_name_server_that_hangs_holds_up_only_the_name_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hanging = threading.Event()
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        if host.startswith("slow"):
            hanging.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("notification.web_push.addresses.socket.getaddrinfo", getaddrinfo)
    async with (
        pushing("default", timeout_s=20) as pusher,
        pushing("default", timeout_s=0.3) as impatient,
    ):
        slow = [a_push(f"https://slow.notify.windows.com/{number}") for number in range(30)]
        waiting = [asyncio.create_task(pusher.push(push)) for push in slow]
        try:
            await eventually(lambda: asked, what="the lookup that hangs")
            async with asyncio.timeout(15):
                other = await pusher.push(a_push("https://quick.notify.windows.com/x"))
                # The lookups of whatever else runs in this process have threads of their own.
                assert await asyncio.to_thread(lambda: 1) == 1
            assert not any(task.done() for task in waiting)
            assert asked.count("slow.notify.windows.com") == 1
            # A lookup that hangs costs no more than the time of a try.
            async with asyncio.timeout(15):
                results = await asyncio.gather(*(impatient.push(push) for push in slow))
        finally:
            hanging.set()
        results += await asyncio.gather(*waiting)
    assert "no public address" in str(other.error)
    assert {result.status for result in results} == {PushStatus.LATER}


async def test_each_device_is_pushed_to_its_own_way() -> None:
    class Way:
        def __init__(self) -> None:
            self.tokens: list[str] = []

        async def push(self, push: Push) -> PushResult:
            self.tokens.append(push.token)
            return PushResult(PushStatus.SENT)

    phones, browsers = Way(), Way()
    pusher = PusherByDevice(phones=phones, browsers=browsers)
    await pusher.push(a_push("phone", keys=None))
    await pusher.push(a_push("https://push.example/1"))
    assert (phones.tokens, browsers.tokens) == (["phone"], ["https://push.example/1"])
    off = await PusherByDevice(phones=phones, browsers=None).push(a_push("https://push.example/1"))
    assert off.status is PushStatus.REFUSED
