import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from laundry_servers.ports import free_port
from laundry_testing.messaging import eventually
from laundry_testing.serving import serving
from web import event_streams
from web.app import create_app

from .conftest import settings_for
from .upstream import Upstream


@asynccontextmanager
async def proxied(upstream: Upstream, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(upstream.app, grace_s=1) as direct:
        settings = settings_for(str(direct.base_url), **changes)
        async with serving(create_app(settings)) as client:
            yield client


async def test_request_and_answer_pass_whole() -> None:
    upstream = Upstream()
    body = b"photo bytes" * 100_000
    async with proxied(upstream) as client:
        answer = await client.post(
            "/api/helper/tasks/echo/a%20b%C3%A9?q=%2F&q=2",
            content=body,
            headers={"Authorization": "Bearer t", "Idempotency-Key": "k", "Accept-Language": "ko"},
        )
    assert answer.status_code == 202
    assert answer.text == "seen"
    [seen] = upstream.seen
    assert seen["path"] == "/tasks/echo/a%20b%C3%A9"
    assert seen["query"] == "q=%2F&q=2"
    assert (seen["bytes"], seen["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert seen["headers"]["content-length"] == str(len(body))
    assert seen["headers"]["authorization"] == "Bearer t"
    assert seen["headers"]["idempotency-key"] == "k"
    assert seen["headers"]["accept-language"] == "ko"
    assert "traceparent" in seen["headers"]


async def test_headers_of_one_hop_stay_there() -> None:
    upstream = Upstream()
    async with proxied(upstream) as client:
        answer = await client.get(
            "/api/helper/tasks/echo/x",
            headers={
                "Connection": "keep-alive, X-Private",
                "X-Private": "1",
                "Cookie": "session=1",
                "TE": "trailers",
                "traceparent": "00-11111111111111111111111111111111-2222222222222222-01",
            },
        )
    sent = upstream.seen[0]["headers"]
    assert {"x-private", "cookie", "te"}.isdisjoint(sent)
    assert sent["traceparent"].split("-")[2] not in ("2222222222222222", "0" * 16)
    assert sent["host"] != answer.request.url.netloc.decode()
    assert "x-hop" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert answer.headers["x-own"] == "kept"
    assert answer.headers["location"] == "/api/helper/tasks/7"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


async def test_upload_streams_while_it_arrives() -> None:
    upstream = Upstream()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        # The service has the beginning before the end was sent: nothing is held back here.
        await asyncio.wait_for(upstream.first_chunk.wait(), 10)
        yield b"last"

    async with proxied(upstream) as client:
        answer = await client.post("/api/helper/tasks/echo/x", content=body())
    assert answer.status_code == 202
    assert upstream.seen[0]["sha256"] == hashlib.sha256(b"firstlast").hexdigest()


async def test_caller_who_stops_sending_is_told_and_the_service_is_let_go() -> None:
    upstream = Upstream()
    never = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await never.wait()

    async with proxied(upstream, body_timeout_s=0.2) as client:
        sending = asyncio.create_task(client.post("/api/helper/tasks/abandoned", content=body()))
        await eventually(lambda: upstream.left, what="the service hears of the end")
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    assert upstream.left == ["disconnected"]


async def test_events_arrive_one_by_one_and_leaving_ends_the_service_stream() -> None:
    upstream = Upstream()
    async with proxied(upstream) as client:
        async with client.stream("GET", "/api/helper/tasks/stream") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = answer.aiter_lines()
            assert await asyncio.wait_for(anext(lines), 10) == "data: one"
            upstream.go_on.set()
            assert [await anext(lines), await anext(lines)] == ["", "data: two"]
            assert upstream.left == []
        await eventually(lambda: upstream.left == ["stream"], what="the service's stream ends")


async def test_stopping_ends_open_streams() -> None:
    upstream = Upstream()
    async with serving(upstream.app, grace_s=1) as direct:
        app = create_app(settings_for(str(direct.base_url)))
        async with serving(app) as client, client.stream("GET", "/api/helper/tasks/stream") as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "data: one"
            app.state.stopping.set()
            async with asyncio.timeout(60):
                assert [line async for line in lines] == [""]


async def test_streams_take_no_connection_from_requests_and_are_counted_by_address() -> None:
    """However many are tried, what else is asked is answered."""
    upstream = Upstream()
    async with (
        asyncio.timeout(60),
        proxied(upstream, max_connections=2, streams_per_address=5, read_timeout_s=5) as client,
    ):
        tries = [client.stream("GET", f"/api/helper/tasks/{name}") for name in ("stream", "s%74ream") * 10]
        answers = await asyncio.gather(*(each.__aenter__() for each in tries))
        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 15
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert int(refused.headers["retry-after"]) > 0
        assert json.loads(await refused.aread())["code"] == "too-many-streams"
        answer = await client.get("/api/helper/tasks/none")
        assert answer.status_code == 404
        await asyncio.gather(*(each.__aexit__(None, None, None) for each in tries))
        await eventually(lambda: len(upstream.left) == 5, what="the streams end")
        # Who left makes room.
        async with client.stream("GET", "/api/helper/tasks/stream") as again:
            assert again.status_code == 200


async def test_a_stream_where_none_is_expected_holds_no_connection() -> None:
    upstream = Upstream()
    async with asyncio.timeout(60), proxied(upstream, max_connections=1) as client:
        for _ in range(3):
            assert (await client.get("/api/helper/tasks/odd")).status_code == 404
        await eventually(lambda: upstream.left == ["odd"] * 3, what="they end")


async def test_who_does_not_read_a_stream_loses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streams, "SEND_S", 0.5)
    upstream = Upstream()
    async with asyncio.timeout(60), proxied(upstream) as client:
        address = client.base_url
        _, writer = await asyncio.open_connection(address.host, address.port, limit=1)
        writer.write(b"GET /api/helper/tasks/loud/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await eventually(lambda: upstream.left == ["loud"], what="the service's stream ends")
        writer.close()


async def test_half_an_answer_does_not_look_whole(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "uvicorn.error")
    async with proxied(Upstream()) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/api/helper/tasks/half")


async def test_service_that_is_away_is_502() -> None:
    async with serving(create_app(settings_for(f"http://127.0.0.1:{free_port()}"))) as client:
        answer = await client.get("/api/notification/notifications")
        still = await client.get("/readyz")
    assert answer.status_code == 502
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "2"
    assert answer.json()["code"] == "service-unavailable"
    assert answer.json()["service"] == "notification"
    assert still.status_code == 200


async def test_silent_service_is_504() -> None:
    async with proxied(Upstream(), read_timeout_s=0.2) as client:
        answer = await client.get("/api/helper/tasks/slow")
    assert answer.status_code == 504
    assert answer.json()["code"] == "service-timeout"


@pytest.mark.parametrize(
    "path",
    [
        "/api/helper/metrics",
        "/api/helper/openapi.json",
        "/api/helper/",
        "/api/nobody/tasks",
        "/api/helper/tasks/../metrics",
        "/api/helper/tasks/%2e%2e/metrics",
        "/api/helper/tasks%2F..%2Fmetrics",
        "/api/helper//metrics",
    ],
)
async def test_what_is_inside_stays_inside(path: str) -> None:
    upstream = Upstream()
    async with proxied(upstream) as client:
        # httpx would tidy the path; this sends it as it stands.
        url = client.base_url.copy_with(raw_path=path.encode())
        answer = await client.send(httpx.Request("GET", url))
    assert answer.status_code == 404
    assert answer.json()["code"] == "not-found"


async def test_services_hear_the_address_that_web_knows_not_the_one_that_was_said() -> None:
    for trusted, expected in (("127.0.0.0/8", "203.0.113.7"), ("", "127.0.0.1")):
        upstream = Upstream()
        async with proxied(upstream, trusted_proxies=trusted) as client:
            await client.get(
                "/api/helper/tasks/echo/x",
                headers={
                    "X-Forwarded-For": "6.6.6.6, 203.0.113.7",
                    "X-Real-IP": "6.6.6.6",
                    "Forwarded": "for=6",
                },
            )
        sent = upstream.seen[0]["headers"]
        assert sent["x-forwarded-for"] == expected
        assert {"x-real-ip", "forwarded"}.isdisjoint(sent)


@pytest.mark.parametrize("expect", ["Expect: 100-continue\r\n", ""])
async def test_what_is_too_long_is_refused_before_it_is_sent(expect: str) -> None:
    upstream = Upstream()
    async with proxied(upstream) as client:
        base = client.base_url
        reader, writer = await asyncio.open_connection(base.host, base.port)
        writer.write(
            (
                "POST /api/helper/tasks/echo/x HTTP/1.1\r\nHost: laundry\r\nContent-Length: 60000000\r\n"
                f"Content-Type: multipart/form-data; boundary=b\r\n{expect}\r\n"
            ).encode()
        )
        await writer.drain()
        async with asyncio.timeout(20):
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 413 ")
            # It ends: what is still on its way is not taken for the next request.
            rest = await reader.read()
        assert b'"code":"photo-too-large"' in rest.replace(b'": "', b'":"')
        writer.close()
    assert upstream.seen == []


async def test_a_body_that_was_waited_for_is_sent_on() -> None:
    upstream = Upstream()
    async with proxied(upstream) as client:
        base = client.base_url
        reader, writer = await asyncio.open_connection(base.host, base.port)
        writer.write(
            b"POST /api/helper/tasks/echo/x HTTP/1.1\r\nHost: laundry\r\nContent-Length: 5\r\n"
            b"Expect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        async with asyncio.timeout(20):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
            writer.write(b"photo")
            assert (await reader.read()).startswith(b"HTTP/1.1 202 ")
        writer.close()
    assert upstream.seen[0]["bytes"] == 5
