"""What a stranger may take of a server, on real sockets: heads, bodies, answers, connections, patience."""

import asyncio
import os
import socket

import psutil
import pytest

from laundry_testing.messaging import eventually

from .raw_http import paced, problem, refused, served


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look oftener than each second, and let those who were refused linger less."""
    monkeypatch.setattr("laundry_service.http.connections.LOOK_EVERY_S", 0.1)
    monkeypatch.setattr("laundry_service.http.protocol.REFUSED_LINGER_S", 0.3)


QUICK = {"http_header_timeout_s": 0.5, "http_idle_timeout_s": 0.5, "http_body_idle_s": 0.5}


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: " + b"b" * 40_000 + b"\r\n\r\n", (431, "headers-too-large")),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 101 + b"\r\n", (431, "headers-too-large")),
        (b"GET / HTTP/1.1\r\n" + b"a" * 300_000, (431, "headers-too-large")),  # never a colon
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 2_000_000, (431, "headers-too-large")),  # never an end
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", (414, "uri-too-long")),
        (b"GET /?" + b"a" * 2_000_000, (414, "uri-too-long")),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400, "malformed-request")),  # TLS
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, "malformed-request")),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", (400, "malformed-request")),
        (
            b"POST /bytes HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            (400, "malformed-request"),
        ),
        (
            b"POST /bytes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;"
            + b"a=b;" * 100_000
            + b"\r\nx\r\n0\r\n\r\n",
            (400, "body-padded"),
        ),
    ],
)
async def test_a_head_or_wrapping_that_is_too_large_is_refused_with_its_reason(
    request_bytes: bytes, expected: tuple[int, str]
) -> None:
    before = refused(expected[1])
    async with served() as server:
        caller = await server.caller()
        # In pieces, as a network brings it.
        for start in range(0, len(request_bytes), 50_000):
            await caller.send(request_bytes[start : start + 50_000])
            await asyncio.sleep(0)
        assert problem(await caller.rest()) == expected
    assert refused(expected[1]) == before + 1


async def test_ordinary_heads_bodies_and_kept_connections_pass() -> None:
    async with served() as server:
        headers = {f"x-{number}": "v" * 300 for number in range(90)}
        for _ in range(3):
            answer = await server.client.get("/", headers=headers)
            assert answer.status_code == 200
            assert answer.json()["headers"] > 90
            sent = await server.client.post("/bytes", content=os.urandom(3_000_000))
            assert sent.json() == {"bytes": 3_000_000}


async def test_a_chunked_body_of_small_pieces_is_taken_and_trailers_are_no_headers() -> None:
    async with served() as server:
        caller = await server.caller()
        await caller.send(b"POST /bytes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(200):
            await caller.send(b"1\r\nx\r\n" * 100)
        await caller.send(b"0\r\nx-trailer: 1\r\n\r\n")
        assert await caller.answer() == (200, b'{"bytes":20000}')


async def test_a_trailer_without_end_is_refused() -> None:
    async with served() as server:
        caller = await server.caller()
        await caller.send(b"POST /bytes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx: ")
        for _ in range(100):
            await caller.send(b"a" * 10_000)
        assert problem(await caller.rest()) == (400, "body-padded")


async def test_silent_connections_and_half_heads_end_in_time() -> None:
    async with served(**QUICK) as server:
        silent, half = await server.caller(), await server.caller()
        await half.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        drip = await server.caller()

        async def dripping() -> None:
            await drip.send(b"GET / HTTP/1.1\r\n")
            for number in range(100):
                await drip.send(b"x-%d: 1\r\n" % number)
                await asyncio.sleep(0.1)

        feeding = asyncio.create_task(dripping())
        assert await silent.rest() == b""
        assert problem(await half.rest()) == (408, "header-timeout")
        assert problem(await drip.rest()) == (408, "header-timeout")
        feeding.cancel()
        await eventually(lambda: server.connections() <= 0, what="all are gone")


async def test_a_kept_connection_ends_when_idle_even_after_an_early_answer() -> None:
    async with served(**QUICK) as server:
        caller = await server.caller()
        await caller.send(b"POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        assert (await caller.answer())[0] == 401
        await caller.send(b"67890")  # what stays open now has no timer in uvicorn
        await caller.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await caller.answer())[0] == 200
        assert await caller.rest() == b""


async def test_a_body_that_stalls_or_drips_is_a_408_and_its_endpoint_is_let_go() -> None:
    async with served(**QUICK) as server:
        head = b"POST /bytes HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
        stalled, dripped = await server.caller(), await server.caller()
        await stalled.send(head + b"x" * 1000)
        await dripped.send(head)

        async def dripping() -> None:
            while True:
                await dripped.send(b"x")
                await asyncio.sleep(0.1)

        feeding = asyncio.create_task(dripping())
        assert problem(await stalled.rest()) == (408, "body-timeout")
        assert problem(await dripped.rest()) == (408, "body-timeout")
        feeding.cancel()
        await eventually(lambda: len(server.app.state.left) == 2, what="both endpoints are left")
        assert set(server.app.state.left) == {"ClientDisconnect"}


async def test_a_slow_phone_is_not_cut_off() -> None:
    async with served(**QUICK) as server:
        caller = await server.caller()
        with paced() as pace:
            await caller.send(b"POST /bytes HTTP/1.1\r\nHost: x\r\nContent-Length: 120000\r\n\r\n")
            for _ in range(12):  # 50 kB/s over several patiences
                await caller.send(b"x" * 10_000)
                await pace.step(0.2)
            assert await caller.answer() == (200, b'{"bytes":120000}')


async def test_a_body_that_goes_on_after_its_answer_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laundry_service.http.protocol.LINGER_S", 0.5)
    before = refused("body-after-answer")
    async with served(**QUICK) as server:
        caller = await server.caller()
        await caller.send(b"POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        assert (await caller.answer())[0] == 401

        async def dripping() -> None:
            while True:
                await caller.send(b"x" * 1000)
                await asyncio.sleep(0.1)

        feeding = asyncio.create_task(dripping())
        assert await caller.rest() == b""
        feeding.cancel()
    assert refused("body-after-answer") == before + 1


async def test_who_does_not_read_is_let_go_and_holds_little() -> None:
    async with served(**QUICK) as server:
        before, unread = psutil.Process().memory_info().rss, refused("answer-unread")
        callers = [await server.caller() for _ in range(20)]
        for caller in callers:
            caller.reader._limit = 1024  # type: ignore[attr-defined]
            await caller.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await eventually(lambda: len(server.app.state.left) == 20, what="all are let go", within_s=30)
        assert refused("answer-unread") == unread + 20
        assert psutil.Process().memory_info().rss - before < 100_000_000


async def test_who_reads_slowly_gets_it_all() -> None:
    async with served(http_body_idle_s=2) as server:
        url = server.client.base_url
        held = socket.socket()
        # As a phone's: a window of megabytes opens again only when half of it was read.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        held.setblocking(False)
        await asyncio.get_running_loop().sock_connect(held, (url.host, url.port))
        reader, writer = await asyncio.open_connection(sock=held)
        size = 0
        with paced() as pace:
            writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            while piece := await reader.read(65536):
                size += len(piece)
                if size < 5_000_000:  # about 1 MB/s over several patiences
                    await pace.step(0.05)
        writer.close()
        assert size > 64_000_000


async def test_pipelined_requests_are_answered_in_order_up_to_a_bound() -> None:
    async with served() as server:
        few = await server.caller()
        await few.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
        assert [(await few.answer())[0] for _ in range(10)] == [200] * 10
        many = await server.caller()
        await many.send(
            b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 5000
        )
        got = await many.rest()
        # The one in progress is answered whole; nothing is written into the middle of it.
        assert got.startswith(b"HTTP/1.1 200 OK")
        assert got.endswith(b"held")
    assert refused("too-many-pipelined") == 1


async def test_connections_of_one_address_are_bounded_but_not_those_of_a_trusted_proxy() -> None:
    async with served(http_connections_per_address=5, trusted_proxies="") as server:
        callers = [await server.caller() for _ in range(5)]
        sixth = await server.caller()
        assert problem(await sixth.rest()) == (429, "too-many-connections")
        callers[0].writer.close()
        await eventually(lambda: server.connections() <= 4, what="one left")
        seventh = await server.caller()
        await seventh.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await seventh.answer())[0] == 200
    async with served(http_connections_per_address=5) as server:
        callers = [await server.caller() for _ in range(20)]
        await callers[-1].send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await callers[-1].answer())[0] == 200


async def test_a_full_server_makes_room_for_who_asks_and_never_ends_a_request_in_hand() -> None:
    async with served(http_connections=10) as server:
        busy = await server.caller()
        await busy.send(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        silent = [await server.caller() for _ in range(30)]
        last = await server.caller()
        await last.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await last.answer())[0] == 200
        assert await busy.answer() == (200, b"held")
        await eventually(lambda: server.connections() <= 10, what="never more than 10")
        assert await silent[0].rest() == b""
        working = []
        for _ in range(12):
            working.append(await server.caller())
            await working[-1].send(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(0.02)
        answers = [(await caller.answer())[0] for caller in working]
        assert answers.count(200) >= 9
        assert set(answers) <= {200, 503}


async def test_an_attack_leaves_memory_and_others_as_they_were() -> None:
    """Headers of 14 MB, hundreds of silent and half connections: bounded, and others are served."""
    async with served(http_header_timeout_s=1, http_body_idle_s=1) as server:
        assert (await server.client.get("/")).status_code == 200
        process = psutil.Process()
        before = process.memory_info().rss
        callers = [await server.caller() for _ in range(300)]
        for number, caller in enumerate(callers):
            if number % 3 == 0:
                await caller.send(b"GET / HTTP/1.1\r\nx: " + b"a" * 140_000)
            elif number % 3 == 1:
                await caller.send(b"POST /bytes HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\nx")
        assert (await server.client.get("/")).status_code == 200
        assert process.memory_info().rss - before < 60_000_000
        await eventually(lambda: server.connections() <= 2, what="the attackers are gone", within_s=20)
        assert (await server.client.get("/")).status_code == 200


async def test_stopping_waits_for_no_stranger() -> None:
    held: list[asyncio.StreamWriter] = []
    # Who waited for one of them would wait for longer than a server may take to stop.
    forever = {"graceful_timeout_s": 600, "http_header_timeout_s": 600, "http_idle_timeout_s": 600}
    async with served(**forever) as server:
        url = server.client.base_url
        for data in (b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
            _, writer = await asyncio.open_connection(url.host, url.port)
            held.append(writer)
            writer.write(data)
        await server.client.get("/")
    for writer in held:
        writer.close()
