"""Tasks as the helper service has them: uploaded, read, confirmed, withdrawn, and shown over HTTP."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from fastapi import FastAPI, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from laundry_events import new_id
from laundry_service.http.problems import Problem

from .fake_history import FakeHistory, found_by
from .fake_pictures import picture, shown
from .fake_streams import FakeStreams
from .fake_uploads import add_uploads

LABELS = ["dress", "hat", "longsleeve", "outwear", "pants", "shirt", "shoes", "shorts", "skirt", "t-shirt"]

Item = dict[str, Any]
Seen = tuple[str, float] | tuple[str, float, int]
"""What a reading says: label, confidence, and how many if not one."""


def now(minutes_ago: float = 0) -> str:
    moment = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    return moment.isoformat().replace("+00:00", "Z")


class FakeTasks(FakeStreams):
    """Their state, and the levers that a test pulls."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: dict[str, Item] = {}
        self.photos: dict[str, bytes] = {}
        self.kept_days: dict[str, int] = {}
        self.by_key: dict[str, str] = {}
        self.uploads: list[Item] = []
        self.confirmations: list[tuple[str, list[Item]]] = []
        self.history = FakeHistory()
        self.most_pixels: int | None = None
        self.lose_answers = 0
        self.refuse_replacing = False
        self.pieces: dict[str, bytes] = {}
        self.break_after = 10**9
        self.hold_uploads: asyncio.Event | None = None
        self.hold_lists: asyncio.Event | None = None
        self.hold_confirmations: asyncio.Event | None = None
        # Set these to make trouble.
        self.refuse: dict[str, Problem] = {}

    def check(self, what: str) -> None:
        if what in self.refuse:
            raise self.refuse[what]

    def add_task(
        self,
        status: str = "submitted",
        *,
        labels: Sequence[Seen] | None = None,
        needs_review: bool = False,
        multiple: bool = False,
        kind: str = "shirt",
        colour: str = "#6d8fb3",
        branch_id: str = "b1",
        minutes_ago: float = 0,
        note: str | None = None,
        photo: bytes | None = None,
        helper_id: str = "helper-1",
        load_id: str | None = None,
    ) -> Item:
        photo = photo or picture(kind, colour=colour)
        task = self.new_task(photo, branch_id, helper_id, note, minutes_ago, load_id)
        if status != "submitted":
            self.read(task["id"], labels, needs_review=needs_review, multiple=multiple)
        return task

    def new_task(
        self,
        photo: bytes,
        branch_id: str,
        helper_id: str,
        note: str | None,
        minutes_ago: float = 0,
        load_id: str | None = None,
    ) -> Item:
        task: Item = {
            "id": new_id(),
            "branch_id": branch_id,
            "helper_id": helper_id,
            "note": note,
            "status": "submitted",
            "version": 1,
            "submitted_at": now(minutes_ago),
            "photo": {
                "media_type": "image/jpeg",
                "bytes": len(photo),
                "sha256": hashlib.sha256(photo).hexdigest(),
            },
            "reading": None,
            "unreadable_reason": None,
            "confirmation": None,
            "load_id": load_id,
            "replaced_by": None,
        }
        self.tasks[task["id"]] = task
        self.photos[task["id"]] = photo
        self.tell("tasks", task)
        return task

    def read(
        self,
        task_id: str,
        labels: Sequence[Seen] | None,
        *,
        needs_review: bool = False,
        multiple: bool = False,
    ) -> None:
        task = self.tasks[task_id]
        task["version"] += 1
        if labels is None:
            task |= {"status": "unreadable", "unreadable_reason": "truncated"}
        else:
            task["status"] = "read"
            task["reading"] = {
                "labels": [
                    {"label": name, "confidence": share, "count": count[0] if count else 1}
                    for name, share, *count in labels
                ],
                "needs_review": needs_review or multiple,
                "multiple": multiple,
                "model_version": "m-1",
                "read_at": now(),
            }
        self.tell("tasks", task)

    def confirmed(self, task_id: str, labels: Sequence[tuple[str, int]], *, undo_s: float = 0) -> Item:
        """Let the owner confirm a task, as it was read or corrected."""
        task = self.tasks[task_id]
        read = task["reading"]["labels"][0]["label"] if task["reading"] else None
        task["status"] = "confirmed"
        task["version"] += 1
        task["confirmation"] = {
            "labels": [{"label": label, "count": count} for label, count in labels],
            "corrected": list(labels) != [(read, 1)],
            "confirmed_by": "owner-1",
            "confirmed_at": now(),
            "undo_until": now(-undo_s / 60) if undo_s else None,
        }
        self.tell("tasks", task)
        return task

    def withdraw(self, task_id: str, instead: str) -> None:
        """Let a task be withdrawn, because its helper took the photo again."""
        task = self.tasks[task_id]
        task |= {"status": "withdrawn", "version": task["version"] + 1, "replaced_by": instead}
        self.tell("tasks", task)

    async def until_let_go(self) -> None:
        """Wait as long as a test holds the lists back."""
        if self.hold_lists is not None:
            await self.hold_lists.wait()

    def add_tasks(self, app: FastAPI) -> None:
        add_uploads(app, self)

        @app.get("/tasks")
        async def listed(request: Request, limit: int = 50, cursor: str | None = None) -> Item:
            self.check("tasks")
            statuses = request.query_params.getlist("status")
            found = [
                task
                for task in sorted(self.tasks.values(), key=lambda task: str(task["id"]), reverse=True)
                if (task["status"] in statuses if statuses else task["status"] != "withdrawn")
                and (cursor is None or task["id"] < cursor)
                and found_by(task, request.query_params)
            ]
            await self.until_let_go()
            more = found[limit - 1]["id"] if len(found) > limit else None
            return {"items": found[:limit], "next_cursor": more}

        @app.get("/tasks/stream", response_class=EventSourceResponse)
        async def stream() -> AsyncIterator[ServerSentEvent]:
            async for event in self.events("tasks", "task"):
                yield event

        @app.get("/tasks/corrected")
        async def corrected(limit: int = 50, cursor: str | None = None) -> Item:
            found = [task for task in self.tasks.values() if (task["confirmation"] or {}).get("corrected")]
            await self.until_let_go()
            return {"items": found[::-1][:limit], "next_cursor": None}

        self.history.add_to(app, self)

        @app.get("/labels")
        async def labels() -> Item:
            return {"items": LABELS, "next_cursor": None}

        @app.get("/tasks/{task_id}")
        async def show(task_id: str) -> Item:
            return self.tasks[task_id]

        @app.get("/tasks/{task_id}/photo")
        async def photo_of(task_id: str, size: Literal["display", "thumbnail"] = "display") -> Response:
            self.check("photo")
            if (days := self.kept_days.get(task_id)) is not None:
                raise Problem(410, "photo-deleted", "The photo was deleted.", kept_days=days)
            return Response(shown(self.photos[task_id], size), media_type="image/jpeg")

        @app.post("/tasks/{task_id}/confirmation")
        async def confirm(task_id: str, body: Item) -> Item:
            self.check("confirm")
            if self.hold_confirmations is not None:
                await self.hold_confirmations.wait()
            labels = body["labels"]
            self.confirmations.append((task_id, labels))
            said = [(item["label"], item["count"]) for item in labels]
            return self.confirmed(task_id, said, undo_s=body.get("undo_s", 0))
