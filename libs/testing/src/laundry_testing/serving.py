"""Serves an app for a test over real HTTP, in the test's own event loop."""

import asyncio
import contextlib
import io
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from prometheus_client import generate_latest

from laundry_servers.local_http import TRUSTS_NOBODY
from laundry_service.http.settings import HttpSettings
from laundry_service.server import server_config
from laundry_testing.messaging import DEADLINE_S, eventually

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 90.0
SHUTDOWN_POLL_S = 0.005
WITHOUT_BROKER: Mapping[str, Any] = {
    "amqp_url": "amqp://nobody:nothing@127.0.0.1:1/",
    "graceful_timeout_s": 3,
    "log_level": "WARNING",
}
"""Settings of a service under test; no broker listens at the address."""


def metrics_text() -> str:
    """Return what the metrics port of this process would say."""
    return generate_latest().decode()


class _Server(uvicorn.Server):
    """Stops at once where uvicorn looks ten times a second, which thousands of tests would wait for."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.asked_to_stop = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to pytest."""
        yield

    async def main_loop(self) -> None:
        while not self.asked_to_stop.is_set():
            await self.on_tick(0)  # which keeps the time that answers say
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.asked_to_stop.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110
                    await asyncio.sleep(SHUTDOWN_POLL_S)
        for task in self.server_state.tasks:
            task.cancel("the grace is over")
        await self.lifespan.shutdown()


async def is_ready(client: httpx.AsyncClient) -> bool:
    """Tell whether a service takes requests. One that does not answer does not."""
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx.HTTPError:
        return False


async def ready(client: httpx.AsyncClient, *, within_s: float = DEADLINE_S) -> None:
    """Wait until a service takes requests."""
    await eventually(lambda: is_ready(client), within_s=within_s, what="readiness")


@asynccontextmanager
async def serving(
    app: FastAPI, *, port: int = 0, grace_s: int = 5, settings: HttpSettings | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve an app with its lifespan on a free port, within the limits of the settings.

    Yields:
        a client whose base URL is the app.
    """
    listener = _listener(port)
    server = _Server(server_config(app, settings or HttpSettings(graceful_timeout_s=grace_s)))
    running = asyncio.create_task(server.serve(sockets=[listener]), name="serving")
    try:
        await eventually(
            lambda: server.started or running.done(), within_s=START_TIMEOUT_S, what="the app's start"
        )
        if running.done():
            await running
            raise RuntimeError("the app did not start; its log says why")
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url, timeout=30, verify=TRUSTS_NOBODY) as client:
            yield client
    finally:
        stopping = getattr(app.state, "stopping", None)
        if stopping is not None:
            stopping.set()
        server.asked_to_stop.set()
        await _ended(running)
        listener.close()


def _listener(port: int) -> socket.socket:
    """asyncio turns off Nagle's delay, 40 ms a request here, only where the protocol is named."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


async def _ended(running: asyncio.Task[None]) -> None:
    """Wait until a server has stopped, and say what it waits for if it does not."""
    done, _ = await asyncio.wait([running], timeout=STOP_TIMEOUT_S)
    if not done:
        waiting = io.StringIO()
        for task in asyncio.all_tasks():
            task.print_stack(file=waiting)
        raise RuntimeError(f"the app did not stop within {STOP_TIMEOUT_S:g} s:\n{waiting.getvalue()}")
    await running
