"""All services behind the pages in one small app: it speaks their bodies and does as it is told."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from laundry_events import new_id
from laundry_service.http.problems import Problem, install_problems, problem_response

from .fake_customers import FakeCustomers
from .fake_devices import FakeDevices
from .fake_faults import NEW, FakeFaults
from .fake_models import FakeModels
from .fake_tasks import LABELS, FakeTasks, Item, now


def expired(token: str) -> bool:
    """Judge a token as the services do: by their clock."""
    claims = base64.urlsafe_b64decode(token.split(".")[1] + "==")
    return float(json.loads(claims)["exp"]) <= datetime.now(UTC).timestamp()


class FakeServices(FakeTasks):
    """Their state, and the levers that a test pulls."""

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.notifications: dict[str, Item] = {}
        self.equipment: dict[str, Item] = {}
        self.requests: list[tuple[str, str]] = []
        # Set these to make trouble.
        self.crowded = False
        self.models_work = True
        self.models = FakeModels(LABELS)
        self.customers = FakeCustomers()
        self.faults = FakeFaults()
        self.stopped: list[str] = []
        self.devices = FakeDevices()
        self.app = self._app()

    # What happens

    at = staticmethod(now)

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

        self.add_tasks(app)
        self._add_rest(app)
        return app

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
                if event.data and "id" in event.data:
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
