"""Serves an app for a test over real HTTP, in the test's own event loop."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI
from prometheus_client import generate_latest

from laundry_service.http.settings import HttpSettings
from laundry_service.server import server_config
from laundry_testing.messaging import eventually

START_TIMEOUT_S = 30.0
# One for all: reading the certificates of every authority takes long, and nothing here is encrypted.
NO_TLS = ssl.create_default_context()


def metrics_text() -> str:
    """Return what the metrics port of this process would say."""
    return generate_latest().decode()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to pytest."""
        yield


@asynccontextmanager
async def serving(
    app: FastAPI, *, port: int = 0, grace_s: int = 5, settings: HttpSettings | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve an app with its lifespan on a free port, within the limits of the settings.

    Yields:
        a client whose base URL is the app.
    """
    listener = socket.create_server(("127.0.0.1", port))
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
        async with httpx.AsyncClient(base_url=url, timeout=30, verify=NO_TLS) as client:
            yield client
    finally:
        stopping = getattr(app.state, "stopping", None)
        if stopping is not None:
            stopping.set()
        server.should_exit = True
        await running
        listener.close()
