"""A cluster's API over real HTTP, as far as training asks it: jobs and their pods, and what can go wrong."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

NAMESPACE = "laundry"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
JOB_OF_POD = "job-name"


def status(code: int, reason: str, message: str) -> JSONResponse:
    body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}
    return JSONResponse(body, status_code=code)


@dataclass
class FakeCluster:
    """``failures`` are answered before anything else; ``refused`` are verbs that the Role lacks."""

    token: str = "first"
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: list[dict[str, Any]] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    deleted: list[tuple[str, Any]] = field(default_factory=list)
    failures: deque[int] = field(default_factory=deque)
    refused: set[str] = field(default_factory=set)
    watches: int = 0
    strangers: int = 0
    cut_watches: bool = False
    lose_answers: bool = False
    changes: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def app(self) -> FastAPI:
        app = FastAPI()
        app.state.stopping = asyncio.Event()
        app.middleware("http")(self._guard)
        app.post(JOBS)(self._create)
        app.get(JOBS)(self._watch)
        app.get(JOBS + "/{name}")(self._get)
        app.delete(JOBS + "/{name}")(self._delete)
        app.get(PODS)(self._pods)
        return app

    async def end(self, name: str, kind: str, reason: str = "", pod: dict[str, Any] | None = None) -> None:
        """Let a job end; ``pod`` is the status of its pod."""
        if pod is not None:
            labels = {JOB_OF_POD: name}
            metadata = {"labels": labels, "creationTimestamp": "2026-05-01T12:00:00Z"}
            self.pods.append({"metadata": metadata, "status": pod})
        condition = {"type": kind, "status": "True", "reason": reason, "message": f"told: {reason}"}
        self.jobs[name]["status"] = {"conditions": [condition]}
        await self.tell()

    async def tell(self) -> None:
        async with self.changed:
            self.changes += 1
            self.changed.notify_all()

    async def _guard(self, request: Request, handler: Callable[[Request], Awaitable[Response]]) -> Response:
        if self.failures:
            code = self.failures.popleft()
            return status(code, "Failure", f"told to fail with {code}")
        if request.headers.get("authorization") != f"Bearer {self.token}":
            self.strangers += 1
            return status(401, "Unauthorized", "Unauthorized")
        verb = {"POST": "create", "DELETE": "delete"}.get(request.method, "get")
        verb = "watch" if "watch" in request.query_params else verb
        verb = "pods" if request.url.path.endswith("/pods") else verb
        if verb in self.refused:
            return status(403, "Forbidden", f"jobs.batch is forbidden: mlops cannot {verb}")
        return await handler(request)

    async def _create(self, request: Request) -> JSONResponse:
        job = await request.json()
        name = job["metadata"]["name"]
        if name in self.jobs:
            return status(409, "AlreadyExists", f'jobs.batch "{name}" already exists')
        self.jobs[name] = job
        self.created.append(name)
        await self.tell()
        if self.lose_answers:
            self.lose_answers = False
            return status(504, "Timeout", "the answer is lost")
        return JSONResponse(job, status_code=201)

    async def _get(self, name: str) -> JSONResponse:
        job = self.jobs.get(name)
        return JSONResponse(job) if job else status(404, "NotFound", "jobs.batch not found")

    async def _delete(self, name: str, request: Request) -> JSONResponse:
        if self.jobs.pop(name, None) is None:
            return status(404, "NotFound", "jobs.batch not found")
        self.deleted.append((name, await request.json()))
        await self.tell()
        return JSONResponse({"kind": "Status", "status": "Success"})

    async def _pods(self, labelSelector: str) -> JSONResponse:  # noqa: N803
        name = labelSelector.removeprefix(f"{JOB_OF_POD}=")
        return JSONResponse({"items": [p for p in self.pods if p["metadata"]["labels"][JOB_OF_POD] == name]})

    async def _watch(self, request: Request, fieldSelector: str) -> StreamingResponse:  # noqa: N803
        self.watches += 1
        return StreamingResponse(self._changes(request.app, fieldSelector.removeprefix("metadata.name=")))

    def _changed_since(self, seen: int) -> bool:
        return self.changes != seen

    async def _changes(self, app: FastAPI, name: str) -> AsyncIterator[bytes]:
        last: dict[str, Any] | None = None
        while not app.state.stopping.is_set():
            # Counted, since a change may come while the line before it is on its way to the client.
            seen = self.changes
            job = self.jobs.get(name)
            if job is not None:
                yield _line("ADDED" if last is None else "MODIFIED", job)
            elif last is not None:
                yield _line("DELETED", last)
                return
            last = job
            if self.cut_watches:
                raise ConnectionResetError("the connection breaks in the middle")
            async with self.changed:
                await self.changed.wait_for(partial(self._changed_since, seen))


def _line(change: str, job: dict[str, Any]) -> bytes:
    return json.dumps({"type": change, "object": job}).encode() + b"\n"
