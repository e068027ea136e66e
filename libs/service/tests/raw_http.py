"""A small app behind the server's limits, and callers whose every byte a test chooses."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from prometheus_client import REGISTRY

from laundry_service.http.problems import install_problems
from laundry_service.http.settings import HttpSettings
from laundry_testing.serving import serving


def app() -> FastAPI:
    app = FastAPI()
    install_problems(app)
    app.state.stopping = asyncio.Event()
    app.state.left = []

    @app.get("/")
    async def root(request: Request) -> dict[str, Any]:
        return {"headers": len(request.headers)}

    @app.post("/bytes")
    async def body(request: Request) -> dict[str, int]:
        try:
            return {"bytes": sum([len(chunk) async for chunk in request.stream()])}
        except Exception as error:
            app.state.left.append(type(error).__name__)
            raise

    @app.post("/refused")
    async def refused() -> Response:
        return Response(status_code=401)

    @app.get("/large")
    async def large() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                for _ in range(640):
                    yield b"x" * 100_000
            finally:
                app.state.left.append("large")

        return StreamingResponse(pieces())

    @app.get("/held")
    async def held() -> Response:
        await asyncio.sleep(1.5)
        return Response("held")

    return app


class Caller:
    """A connection whose every byte the test chooses."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        try:
            self.writer.write(data)
            await self.writer.drain()
        except ConnectionError:
            pass

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        got = b""
        try:
            async with asyncio.timeout(20):
                while piece := await self.reader.read(65536):
                    got += piece
        except ConnectionError:
            pass
        return got

    async def answer(self) -> tuple[int, bytes]:
        """One answer with a Content-Length."""
        async with asyncio.timeout(20):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            )
            return int(head.split()[1]), await self.reader.readexactly(length)


class Served:
    def __init__(self, client: httpx.AsyncClient, app: FastAPI, others: float) -> None:
        self.client, self.app = client, app
        self._open: list[asyncio.StreamWriter] = []
        self._others = others

    def connections(self) -> float:
        """At most those open to this server: others, stopped in a hurry, never count theirs off."""
        return _connections() - self._others

    async def caller(self) -> Caller:
        url = self.client.base_url
        reader, writer = await asyncio.open_connection(url.host, url.port)
        self._open.append(writer)
        return Caller(reader, writer)

    def close(self) -> None:
        for writer in self._open:
            writer.close()


@asynccontextmanager
async def served(**limits: Any) -> AsyncIterator[Served]:
    made, others = app(), _connections()
    async with serving(made, settings=HttpSettings(**limits)) as client:
        found = Served(client, made, others)
        yield found
        found.close()


class Pace:
    """The loop's time, which passes in steps."""

    def __init__(self, now: float) -> None:
        self.now = now

    async def step(self, seconds: float) -> None:
        """Let so much time pass; what it takes longer is not counted."""
        await asyncio.to_thread(time.sleep, seconds)
        self.now += seconds


@contextmanager
def paced() -> Iterator[Pace]:
    """Let time pass for the server by no more than what the test steps: a pause of the machine is none.

    Within it no deadline passes by itself.
    """
    loop = asyncio.get_running_loop()
    pace = Pace(loop.time())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "time", lambda: pace.now)
        yield pace


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("laundry_http_refused_total", {"reason": reason}) or 0


def _connections() -> float:
    return REGISTRY.get_sample_value("laundry_http_connections") or 0


def problem(raw: bytes) -> tuple[int, str]:
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    document = json.loads(body)
    assert document["status"] == int(head.split()[1])
    assert document["detail"]
    return document["status"], document["code"]
