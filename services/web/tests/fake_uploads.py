"""Uploads as the helper service takes them: whole and in pieces, once for each key."""

import base64
import io
import json
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Form, Header, Request, Response, UploadFile
from PIL import Image

from laundry_service.http.problems import Problem

if TYPE_CHECKING:
    from .fake_tasks import FakeTasks

Item = dict[str, Any]


def pixels(photo: bytes) -> int:
    """How many a photo has."""
    width, height = Image.open(io.BytesIO(photo)).size
    return width * height


def sub_of(request: Request) -> str:
    """Return whose token a request carries."""
    claims = base64.urlsafe_b64decode(request.headers["authorization"].split(".")[1] + "==")
    return str(json.loads(claims)["sub"])


def add_uploads(app: FastAPI, services: "FakeTasks") -> None:
    @app.post("/tasks", status_code=201)
    async def submit(
        request: Request,
        response: Response,
        branch_id: Annotated[str, Form()],
        idempotency_key: Annotated[str, Header()],
        photo: UploadFile | None = None,
        pieces: Annotated[int | None, Form()] = None,
        note: Annotated[str | None, Form()] = None,
        load_id: Annotated[str | None, Form()] = None,
        replaces: Annotated[list[str] | None, Form()] = None,
    ) -> Item:
        body = await photo.read() if photo else services.pieces[idempotency_key]
        assert pieces in (None, len(body))
        told = {"load": load_id, "replaces": replaces or [], "note": note}
        services.uploads.append(
            {"key": idempotency_key, "bytes": len(body), "type": photo and photo.content_type, **told}
        )
        if services.hold_uploads is not None:
            await services.hold_uploads.wait()
        services.check("upload")
        if replaces and services.refuse_replacing:
            raise Problem(409, "replaced-task-confirmed", "In English.")
        if services.most_pixels and pixels(body) > services.most_pixels:
            raise Problem(422, "photo-too-many-pixels", "In English.")
        if idempotency_key in services.by_key:
            task = services.tasks[services.by_key[idempotency_key]]
        else:
            task = services.new_task(body, branch_id, sub_of(request), note, load_id=load_id)
            services.by_key[idempotency_key] = task["id"]
            for each in replaces or []:
                kind, _, name = each.partition(":")
                before = name if kind == "task" else services.by_key.setdefault(name, task["id"])
                if before != task["id"]:
                    services.withdraw(before, task["id"])
        response.headers["Location"] = f"/tasks/{task['id']}"
        if services.lose_answers > 0:
            services.lose_answers -= 1
            raise Problem(503, "service-away", "The task is stored; this answer stands for a lost one.")
        return task

    @app.get("/tasks/uploads")
    async def received(idempotency_key: Annotated[str, Header()]) -> Item:
        return {"bytes": len(services.pieces.get(idempotency_key, b""))}

    @app.put("/tasks/uploads")
    async def piece(
        request: Request,
        idempotency_key: Annotated[str, Header()],
        upload_offset: Annotated[int, Header()],
    ) -> Item:
        services.check("piece")
        before = services.pieces.setdefault(idempotency_key, b"")
        if upload_offset != len(before):
            raise Problem(409, "upload-offset-wrong", "In English.")
        services.pieces[idempotency_key] = before + await request.body()
        if len(services.pieces[idempotency_key]) > services.break_after:
            services.break_after = 10**9
            services.refuse["piece"] = Problem(408, "upload-stalled", "In English.")
        return {"bytes": len(services.pieces[idempotency_key])}
