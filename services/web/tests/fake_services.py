"""All services behind the pages in one small app: it speaks their bodies and does as it is told."""

import asyncio
import base64
import hashlib
import io
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Header, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from PIL import Image, ImageDraw

from laundry_events import new_id
from laundry_reading.pictures import make_pictures
from laundry_service.http.problems import Problem, install_problems, problem_response

from .fake_customers import FakeCustomers
from .fake_devices import FakeDevices
from .fake_faults import NEW, FakeFaults
from .fake_history import FakeHistory, found_by
from .fake_models import FakeModels
from .fake_streams import FakeStreams
from .fake_uploads import add_uploads

LABELS = ["dress", "hat", "longsleeve", "outwear", "pants", "shirt", "shoes", "shorts", "skirt", "t-shirt"]

Item = dict[str, Any]
Seen = tuple[str, float] | tuple[str, float, int]
"""What a reading says: label, confidence, and how many if not one."""


def now(minutes_ago: float = 0) -> str:
    moment = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    return moment.isoformat().replace("+00:00", "Z")


def picture(kind: str = "shirt", *, size: tuple[int, int] = (900, 1200), colour: str = "#6d8fb3") -> bytes:
    """Draw a garment on a floor."""
    width, height = size
    image = Image.new("RGB", size, "#cdbfa9")
    draw = ImageDraw.Draw(image)
    for y in range(0, height, height // 9):
        draw.line([(0, y), (width, y)], fill="#b9a98f", width=4)

    def scaled(*points: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x * width, y * height) for x, y in points]

    outlines = {
        "pants": [
            (0.3, 0.2), (0.7, 0.2), (0.78, 0.85), (0.57, 0.86), (0.5, 0.42), (0.43, 0.86), (0.22, 0.85),
        ],
        "skirt": [(0.36, 0.3), (0.64, 0.3), (0.82, 0.75), (0.18, 0.75)],
        "shirt": [
            (0.36, 0.2), (0.5, 0.26), (0.64, 0.2), (0.88, 0.36), (0.8, 0.5), (0.7, 0.44),
            (0.7, 0.82), (0.3, 0.82), (0.3, 0.44), (0.2, 0.5), (0.12, 0.36),
        ],
    }  # fmt: skip
    draw.polygon(scaled(*outlines.get(kind, outlines["shirt"])), fill=colour, outline="#3a3226", width=6)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return file.getvalue()


@cache
def shown(photo: bytes, size: str) -> bytes:
    """A photo as the helper service shows it; of what is no JPEG, some picture."""
    made = make_pictures(photo if photo.startswith(b"\xff\xd8") else picture())
    return (made.thumbnail if size == "thumbnail" else made.display).data


def expired(token: str) -> bool:
    """Judge a token as the services do: by their clock."""
    claims = base64.urlsafe_b64decode(token.split(".")[1] + "==")
    return float(json.loads(claims)["exp"]) <= datetime.now(UTC).timestamp()


class FakeServices(FakeStreams):
    """Their state, and the levers that a test pulls."""

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.tasks: dict[str, Item] = {}
        self.photos: dict[str, bytes] = {}
        self.kept_days: dict[str, int] = {}
        self.by_key: dict[str, str] = {}
        self.notifications: dict[str, Item] = {}
        self.equipment: dict[str, Item] = {}
        self.requests: list[tuple[str, str]] = []
        self.uploads: list[Item] = []
        self.confirmations: list[tuple[str, list[Item]]] = []
        # Set these to make trouble.
        self.refuse: dict[str, Problem] = {}
        self.lose_answers = 0
        self.crowded = False
        self.models_work = True
        self.models = FakeModels(LABELS)
        self.history = FakeHistory()
        self.customers = FakeCustomers()
        self.most_pixels: int | None = None
        self.refuse_replacing = False
        self.pieces: dict[str, bytes] = {}
        self.break_after = 10**9
        self.faults = FakeFaults()
        self.stopped: list[str] = []
        self.devices = FakeDevices()
        self.hold_uploads: asyncio.Event | None = None
        self.hold_lists: asyncio.Event | None = None
        self.hold_confirmations: asyncio.Event | None = None
        self.app = self._app()

    # What happens

    at = staticmethod(now)

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

    def fault(
        self,
        equipment_id: str = "washer-3",
        kind: str = "washer",
        *,
        notified: bool = True,
        minutes_ago: float = 0,
    ) -> Item:
        """Let a machine fail; return it. Who has registered no phone is not notified."""
        machine = self.add_equipment(equipment_id, kind)
        since = now(minutes_ago)
        fault = {"id": new_id(), "cause": "fault_code", "fault_code": "E42", **NEW}
        machine |= {"state": "faulty", "open_faults": [{**fault, "detected_at": since, "told_at": since}]}
        self.tell("equipment", machine)
        if notified:
            self.notify(equipment_id)
        return machine

    def repair(self, equipment_id: str) -> None:
        machine = self.equipment[equipment_id]
        self.faults.close(machine, now())
        machine |= {"state": "ok", "open_faults": []}
        self.tell("equipment", machine)

    def notify(self, equipment_id: str) -> None:
        open_faults = self.equipment.get(equipment_id, {}).get("open_faults")
        notification: Item = {
            "data": {"fault_id": open_faults[0]["id"]} if open_faults else {},
            "id": new_id(),
            "kind": "equipment_fault",
            "title": {"ko": f"세탁기 {equipment_id} 고장 (E42)", "en": f"Washer {equipment_id} failed (E42)"},
            "body": {
                "ko": "b1 지점 · 10:04 감지. 장비를 멈추고 상태를 확인해 주세요.",
                "en": "Branch b1 · detected at 10:04. Stop it and have a look.",
            },
            "branch_id": "b1",
            "event_id": new_id(),
            "created_at": now(),
            "sent_at": now(),
            "state": "sent",
        }
        self.notifications[notification["id"]] = notification
        self.tell("notifications", notification)

    def add_equipment(self, equipment_id: str, kind: str = "washer") -> Item:
        machine = self.equipment.setdefault(
            equipment_id,
            {
                "id": equipment_id,
                "branch_id": "b1",
                "kind": kind,
                "state": "ok",
                "first_seen_at": now(600),
                "last_sample": {"recorded_at": now(2), "received_at": now(2), "metrics": {}},
                "open_faults": [],
            },
        )
        self.tell("equipment", machine)
        return machine

    # HTTP

    def _app(self) -> FastAPI:
        app = FastAPI()
        install_problems(app)
        app.state.stopping = self.stopping

        @app.middleware("http")
        async def trouble(request: Request, call_next: Any) -> Response:
            self.requests.append((request.method, request.url.path))
            if self.crowded and request.url.path.endswith("/stream"):
                full = Problem(429, "too-many-streams", "Close a page.", headers={"Retry-After": "30"})
                return problem_response(full)
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            if token.count(".") != 2 and request.url.path != "/unsubscribe":
                return Response(status_code=401)
            if token and expired(token):
                return problem_response(Problem(401, "token-expired", "Sign in again."))
            return await call_next(request)  # type: ignore[no-any-return]

        self._add_tasks(app)
        self._add_rest(app)
        return app

    def check(self, what: str) -> None:
        if what in self.refuse:
            raise self.refuse[what]

    def _add_tasks(self, app: FastAPI) -> None:
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
            if self.hold_lists is not None:
                await self.hold_lists.wait()
            more = found[limit - 1]["id"] if len(found) > limit else None
            return {"items": found[:limit], "next_cursor": more}

        @app.get("/tasks/stream", response_class=EventSourceResponse)
        async def stream() -> AsyncIterator[ServerSentEvent]:
            async for event in self.events("tasks", "task"):
                yield event

        @app.get("/tasks/corrected")
        async def corrected(limit: int = 50, cursor: str | None = None) -> Item:
            found = [task for task in self.tasks.values() if (task["confirmation"] or {}).get("corrected")]
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

    def _add_rest(self, app: FastAPI) -> None:
        def in_language(item: Item, language: str) -> Item:
            chosen = "en" if language.startswith("en") else "ko"
            return item | {"title": item["title"][chosen], "body": item["body"][chosen]}

        @app.get("/notifications")
        async def notifications(accept_language: Annotated[str, Header()] = "ko") -> Item:
            newest = sorted(self.notifications.values(), key=lambda item: str(item["id"]), reverse=True)
            return {"items": [in_language(item, accept_language) for item in newest], "next_cursor": None}

        @app.get("/notifications/stream", response_class=EventSourceResponse)
        async def notification_stream(
            accept_language: Annotated[str, Header()] = "ko",
        ) -> AsyncIterator[ServerSentEvent]:
            async for event in self.events("notifications", "notification"):
                if "id" in event.data:
                    event.data = in_language(event.data, accept_language)
                yield event

        @app.get("/equipment")
        async def equipment(limit: int = 200, cursor: int = 0) -> Item:
            machines = list(self.equipment.values())
            more = cursor + limit if cursor + limit < len(machines) else None
            return {"items": machines[cursor : cursor + limit], "next_cursor": more and str(more)}

        @app.get("/equipment/stream", response_class=EventSourceResponse)
        async def equipment_stream() -> AsyncIterator[ServerSentEvent]:
            async for event in self.events("equipment", "equipment"):
                yield event

        @app.post("/unsubscribe", status_code=204)
        async def unsubscribe(body: Item) -> None:
            self.check("unsubscribe")
            self.stopped.append(body["key"])

        self.models.add_to(app, self)
        self.customers.add_to(app, self)
        self.faults.add_to(app, self)
        self.devices.add_to(app)
