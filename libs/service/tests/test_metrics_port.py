"""Metrics answer on their own port only, and nothing waits for it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from laundry_servers.ports import free_ports
from laundry_service.http.settings import HttpSettings
from laundry_service.server import Server
from laundry_testing.logs import logged_by
from laundry_testing.messaging import eventually


class Quiet(Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def running(port: int, metrics_port: int) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.state.stopping = asyncio.Event()

    @app.get("/")
    async def root() -> str:
        return "here"

    server = Quiet(app, HttpSettings(port=port, metrics_port=metrics_port, graceful_timeout_s=2))
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started or serving.done(), what="the start")
    async with httpx.AsyncClient(timeout=10) as client:
        yield client
    server.should_exit = True
    await serving
    assert app.state.stopping.is_set()


async def test_metrics_are_on_their_port_and_nowhere_else() -> None:
    port, metrics_port = free_ports(2)
    main, metrics = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{metrics_port}"
    async with running(port, metrics_port) as client:
        assert (await client.get(f"{main}/metrics")).status_code == 404
        answer = await client.get(f"{metrics}/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=")
        assert "laundry_http_connections" in answer.text
        head = await client.head(f"{metrics}/metrics")
        assert (head.status_code, head.text) == (200, "")
        assert (await client.get(f"{metrics}/")).status_code == 404
        assert (await client.post(f"{metrics}/metrics")).status_code == 405
        too_long = await client.get(f"{metrics}/metrics", headers={"x": "y" * 40_000})
        assert too_long.status_code == 431
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient() as client:
            await client.get(f"{metrics}/metrics")


async def test_a_port_that_is_taken_holds_nothing_up_and_is_taken_later(
    monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setattr("laundry_service.telemetry.metrics_server.TRY_AGAIN_S", 0.1)
    taken = socket.create_server(("127.0.0.1", 0))
    metrics_port = taken.getsockname()[1]
    with logged_by("laundry_service.telemetry.metrics_server") as lines:
        async with running(unused_tcp_port, metrics_port) as client:
            assert (await client.get(f"http://127.0.0.1:{unused_tcp_port}/")).status_code == 200
            taken.close()

            async def there() -> bool:
                try:
                    return (await client.get(f"http://127.0.0.1:{metrics_port}/metrics")).status_code == 200
                except httpx.HTTPError:
                    return False

            await eventually(there, what="the metrics, once the port is free")
    assert "LAUNDRY_METRICS_PORT" in lines[0]["event"]
    assert [line["log_level"] for line in lines][-1] == "info"


async def test_without_a_port_there_are_none(unused_tcp_port: int) -> None:
    async with running(unused_tcp_port, 0) as client:
        assert (await client.get(f"http://127.0.0.1:{unused_tcp_port}/")).status_code == 200
