"""What the owner sees of the past: a search, what was washed, and confirmations that are taken back."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request

from laundry_service.http.problems import Problem

if TYPE_CHECKING:
    from .fake_tasks import FakeTasks

Item = dict[str, Any]


def found_by(task: Item, query: Mapping[str, str]) -> bool:
    """Whether a search is for this task, as the helper service judges it; days are left to its own tests."""
    labels = {each["label"] for each in (task["confirmation"] or {"labels": []})["labels"]}
    return (
        query.get("branch_id", task["branch_id"]) == task["branch_id"]
        and ("label" not in query or query["label"] in labels)
        and query.get("note", "").lower() in (task["note"] or "").lower()
        and query.get("helper", "").lower() in task["helper_id"].lower()
    )


class FakeHistory:
    """Its state; a test reads ``asked`` for what the page wanted to know."""

    def __init__(self) -> None:
        self.asked: list[Item] = []
        self.taken_back: list[str] = []
        self.final = False
        self.lose_answer: asyncio.Event | None = None
        self.days: list[Item] = []
        self.items: list[Item] = []

    def wash(self, days_ago: int, label: str, *, pieces: int, loads: int, corrected: int = 0) -> None:
        """Let a branch have washed one class on one day."""
        day = str(date.today() - timedelta(days=days_ago))
        counted = {"loads": loads, "corrected": corrected}
        self.days.append({"day": day, **counted})
        self.items.append({"day": day, "label": label, "pieces": pieces, **counted})

    def add_to(self, app: FastAPI, services: "FakeTasks") -> None:
        @app.get("/tasks/washed")
        async def washed(request: Request) -> Item:
            query = dict(request.query_params)
            self.asked.append(query)
            if "washed" in services.refuse:
                raise services.refuse["washed"]
            first, last = query["first_day"], query["last_day"]
            within = [
                [each for each in rows if first <= each["day"] <= last] for rows in (self.days, self.items)
            ]
            return {
                "time_zone": "Asia/Seoul",
                "first_day": first,
                "last_day": last,
                "days": within[0],
                "items": within[1],
                "next_cursor": None,
            }

        @app.delete("/tasks/{task_id}/confirmation")
        async def take_back(task_id: str) -> Item:
            task = services.tasks[task_id]
            until = (task["confirmation"] or {}).get("undo_until")
            if self.final or until is None or datetime.fromisoformat(until) < datetime.now(UTC):
                raise Problem(409, "confirmation-final", "It counts already.")
            self.taken_back.append(task_id)
            status = "read" if task["reading"] else "unreadable"
            task |= {"status": status, "confirmation": None, "version": task["version"] + 1}
            services.tell("tasks", task)
            if self.lose_answer is not None:
                await self.lose_answer.wait()
                raise Problem(504, "gateway-timeout", "It was done, but nobody hears of it.")
            return task
