"""A service behind the proxy, which tells what it was asked."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect


class Upstream:
    """A service that shows what reached it and answers as told."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.seen: list[dict[str, Any]] = []
        self.first_chunk = asyncio.Event()
        self.go_on = asyncio.Event()
        self.left: list[str] = []
        self._add_routes()

    def _add_routes(self) -> None:
        @self.app.api_route("/tasks/echo/{rest:path}", methods=["GET", "POST", "PUT", "DELETE"])
        async def echo(request: Request) -> Response:
            digest, size = hashlib.sha256(), 0
            async for chunk in request.stream():
                self.first_chunk.set()
                digest.update(chunk)
                size += len(chunk)
            self.seen.append(
                {
                    "method": request.method,
                    "path": request.scope["raw_path"].decode(),
                    "query": request.url.query,
                    "headers": dict(request.headers),
                    "sha256": digest.hexdigest(),
                    "bytes": size,
                }
            )
            return Response(
                "seen",
                202,
                headers={
                    "X-Own": "kept",
                    "Set-Cookie": "a=b",
                    "Location": "/tasks/7",
                    "Connection": "X-Hop",
                    "X-Hop": "dropped",
                    "Content-Security-Policy": "default-src *",
                },
            )

        @self.app.post("/tasks/abandoned")
        async def abandoned(request: Request) -> None:
            try:
                async for _ in request.stream():
                    self.first_chunk.set()
            except ClientDisconnect:
                self.left.append("disconnected")

        @self.app.get("/tasks/stream")
        async def stream() -> StreamingResponse:
            async def events() -> AsyncIterator[str]:
                try:
                    yield "data: one\n\n"
                    await self.go_on.wait()
                    yield "data: two\n\n"
                    await asyncio.Event().wait()
                finally:
                    self.left.append("stream")

            return StreamingResponse(events(), media_type="text/event-stream")

        @self.app.get("/tasks/odd")
        async def odd() -> StreamingResponse:
            async def events() -> AsyncIterator[str]:
                try:
                    yield ": here\n\n"
                    await asyncio.Event().wait()
                finally:
                    self.left.append("odd")

            return StreamingResponse(events(), media_type="text/event-stream")

        @self.app.get("/tasks/loud/stream")
        async def loud() -> StreamingResponse:
            async def events() -> AsyncIterator[bytes]:
                try:
                    while True:
                        yield b": " + b"x" * 1_000_000 + b"\n\n"
                        # A server no longer waits once its caller has left.
                        await asyncio.sleep(0)
                finally:
                    self.left.append("loud")

            return StreamingResponse(events(), media_type="text/event-stream")

        @self.app.get("/tasks/half")
        async def half() -> StreamingResponse:
            async def body() -> AsyncIterator[bytes]:
                yield b"x" * 1000
                raise RuntimeError("broke in the middle")

            return StreamingResponse(body(), media_type="application/json")

        @self.app.get("/tasks/slow")
        async def slow() -> None:
            await asyncio.sleep(30)

        @self.app.get("/metrics")
        async def metrics() -> str:
            return "inside only"
