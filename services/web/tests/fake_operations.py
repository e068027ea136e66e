"""Operations as the operator's page sees it: one queue with letters, a plan, a job, the audit."""

import asyncio
from typing import Any

from fastapi import FastAPI, Request

from laundry_service.http.problems import Problem

Item = dict[str, Any]
ZERO = {"unacked": 0, "publish_rate": 0.0, "deliver_rate": 0.0, "oldest_age_s": 3.0, "waiting_for_retry": 1}


class FakeOperations:
    """Its state; a test reads ``asked`` for what the page wanted."""

    def __init__(self, app: FastAPI, *, letters: int) -> None:
        self.letters = letters
        self.why: Item = {"reason": "retries-exhausted", "error_class": "RuntimeError"}
        self.text = "the database is away"
        self.away = False
        self.asked: list[tuple[str, Item]] = []
        self.records: list[Item] = []
        self.plans: list[str] = []
        # Set these to make trouble: a dry run by its action, a letter by its fingerprint.
        self.hold: dict[str, asyncio.Event] = {}
        self.gone: set[str] = set()
        app.get("/queues")(self.queues)
        app.get("/dead-letters")(self.list_letters)
        app.get("/dead-letters/{queue}/{id}")(self.letter)
        app.post("/dead-letters/{action}")(self.act)
        app.get("/jobs/{id}")(self.job)
        app.get("/audit")(self.audit)
        # The other services' audits, which the page shows beside it.
        app.get("/models/audit")(self.none)
        app.get("/equipment/audit")(self.none)

    async def until_let_go(self, what: str) -> None:
        """Wait as long as a test holds an answer back."""
        if what in self.hold:
            await self.hold[what].wait()

    async def queues(self) -> Item:
        if self.away:
            raise Problem(503, "management-unavailable", "The management API gave no answer.")
        queue = {
            "name": "task.read",
            "ready": 7,
            "consumers": 0,
            "dead_letters": self.letters,
            "oldest_age_bound": "at_most",
            "warnings": ["no-consumers"],
            **ZERO,
        }
        return {"items": [queue]}

    async def none(self) -> Item:
        return {"items": []}

    async def list_letters(self) -> Item:
        why = {"queue": "task.read", **self.why}
        items = [
            {**why, "id": f"m{number}", "fingerprint": f"f{number}", "redriven": number}
            for number in range(self.letters)
        ]
        group = {**why, "count": self.letters, "redriven": self.letters - 1, "oldest": "2026-05-01T10:00:00Z"}
        looked = {"queue": "task.read", "waiting": self.letters, "looked_at": self.letters}
        return {"items": items, "groups": [group] if items else [], "queues": [looked]}

    async def letter(self, queue: str, id: str) -> Item:  # noqa: A002
        await self.until_let_go(id)
        if id in self.gone:
            raise Problem(404, "letter-gone", "That letter is not in the queue any more.")
        return {
            "id": id.replace("f", "m"),
            "reason": "retries-exhausted",
            "error_class": "RuntimeError",
            "error_message": self.text,
            "attempts": 4,
            "trace_id": "0123456789abcdef",
            "redriven": 1,
            "headers": {"x-dead-reason": "retries-exhausted"},
            "body": f'{{"task_id": "t1", "note": "{self.text}"}}',
        }

    async def act(self, action: str, request: Request) -> Item:
        body = await request.json()
        self.asked.append((action, body))
        total = len(body.get("ids") or []) or self.letters
        preview = {"groups": [{"redriven": 1, "count": 1}]}
        if body.get("dry_run", True):
            plan = f"p{len(self.asked)}"
            self.plans.append(plan)
            await self.until_let_go(action)
            return {"id": plan, "state": "planned", "total": total, "done": 0, "preview": preview}
        if body["plan"] not in self.plans:
            raise Problem(409, "plan-unusable", "That dry run was used or is over an hour old. Look again.")
        self.plans.remove(body["plan"])
        self.letters -= total
        record = {"by": "op-1", "action": action, "id": "m1", "queue": "task.read", "reason": body["why"]}
        self.records = [{**record, "at": "2026-05-01T10:00:00Z"}]
        return {"id": body["plan"], "state": "queued", "total": total, "done": 0}

    async def job(self, id: str) -> Item:  # noqa: A002
        return {"id": id, "state": "succeeded", "total": 1, "done": 1}

    async def audit(self) -> Item:
        return {"items": self.records}
