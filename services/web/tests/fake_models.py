"""MLOps as the operator's page sees it: models with verdicts, runs, promotions, people who label."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent

from laundry_events import new_id
from laundry_service.http.problems import Problem

Item = dict[str, Any]


SHIPPED = {
    "network": "residual network with squeeze-and-excitation",
    "parameters": 2487734,
    "training_photos": 3718,
    "teacher": "MobileNetV2 (ImageNet, Apache-2.0) fine-tuned on clothing/train",
    "teacher_sha256": "d950f60b" * 8,
    "epochs": 80,
    "minutes": 66.0,
    "plan": {"batch": 64, "rate": 0.002, "seed": 7},
    "remark": "",
}
REFITTED = {
    "branches_known": 5,
    "kind": "refit",
    "run_id": "01a2161a-7498-7318-ba01-e691cbf34087",
    "base_sha256": "f5b9e609" * 8,
    "base_version": "m-1",
    "examples_learnt": 1490,
    "examples_judging": 0,
    "examples_left_out": {"photo missing": 3, "labels of the same picture contradict each other": 2},
    "pull_towards_first": 0.3,
    "a_key_of_a_newer_service": True,
}
# As the service says it where neither torch nor the photos are.
LACKING = (
    "A full training cannot run here. The interpreter /opt/laundry/.venv/bin/python has no torch: `make "
    "train-setup` makes one that has, and LAUNDRY_TRAINING_PYTHON names it (.venv-train/bin/python). The "
    "training photos are not here: LAUNDRY_TRAINING_DATA names the folder that holds clothing/photos.csv "
    "(locally: `laundry up --training-data FOLDER`). A refit needs none of this."
)


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


class FakeModels:
    """Its state; a test reads ``asked`` for what the page wanted."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.asked: list[tuple[str, Item]] = []
        self.labels = list(labels)
        self.runs: dict[str, Item] = {}
        self.logs: dict[str, list[Item]] = {}
        self.logs_work = True
        self.lacking: str | None = None
        self.hold_runs: asyncio.Event | None = None
        self.models = [self.model("m-2", good=False), self.model("m-1", champion=True), self.model("m-0")]

    def model(self, version: str, *, champion: bool = False, good: bool | None = None) -> Item:
        size = len(self.labels)
        matrix = [
            [9 if row == column else (row + column) % 2 for column in range(size)] for row in range(size)
        ]
        checks = [
            {"name": "holdout accuracy", "passed": True, "text": "frozen holdout: 450 right", "figures": {}},
            {"name": "classes", "passed": False, "text": "pants loses 9 of its 20", "figures": {}},
        ]
        verdict = {"good": good, "against": "m-1", "reasons": [], "checks": checks}
        return {
            "version": version,
            "champion": champion,
            "labels": self.labels,
            "sha256": "0" * 64,
            "metrics": {"top1": 0.84, "photos": 531, "calibration_error": 0.03, "confusion": matrix},
            "lineage": SHIPPED if champion else REFITTED,
            "source": "shipped" if champion else "refit",
            "verdict": None if good is None else verdict,
            "created_at": _now(),
        }

    def run(self, status: str, run_id: str | None = None, **changes: Any) -> Item:
        """Describe a training run and keep it."""
        found = {
            "id": run_id or new_id(),
            "kind": "refit",
            "status": status,
            "progress": 0.4,
            "model_version": None,
            "decision": None,
            "error": None,
            "requested_by": "op-1",
            "created_at": _now(),
            **changes,
        }
        self.runs[found["id"]] = found
        return found

    def note(self, run_id: str, text: str) -> None:
        """Add a line to a run's log."""
        self.logs.setdefault(run_id, []).append({"created_at": _now(), "text": text})

    def add_to(self, app: FastAPI, services: Any) -> None:
        """Answer what the page asks."""

        def page(items: list[Item]) -> Item:
            return {"items": items, "next_cursor": None}

        @app.get("/models")
        async def models() -> Item:
            if not services.models_work:
                raise Problem(503, "database-unavailable", "The models cannot be listed just now.")
            return page(self.models)

        @app.get("/models/promotions")
        async def promotions() -> Item:
            shipped = {"id": "1", "version": "m-1", "kind": "shipped", "promoted_by": "shipped"}
            forced = {"id": "2", "version": "m-0", "kind": "person", "promoted_by": "op-7"}
            reason = "winter coats are missing from the holdout"
            return page(
                [
                    {**forced, "override_reason": reason, "promoted_at": _now()},
                    {**shipped, "override_reason": None, "promoted_at": _now()},
                ]
            )

        @app.get("/models/replicas")
        async def replicas() -> Item:
            well = {"version": "m-1", "in_step": True, "refused": None, "seen_at": _now()}
            tally = {"version": "m-2", "photos": 40, "agreed": 37}
            refused = {"version": "m-1", "why": "ModelError: the sha256 is another"}
            stuck = {
                "version": "m-0",
                "in_step": False,
                "refused": refused,
                "seen_at": _now(),
                "shadow": None,
            }
            items = [{"replica": "ai-1", **well, "shadow": tally}, {"replica": "ai-2", **stuck}]
            return {**page(items), "champion": "m-1", "shadow": {"version": "m-2", "share": 0.1}}

        @app.post("/models/rollback")
        async def roll_back() -> Item:
            self.asked.append(("rollback", {}))
            return self.models[2]

        @app.post("/models/{version}/promotion")
        async def promote(version: str, body: Item) -> Item:
            self.asked.append((version, body))
            return self.models[0]

        @app.get("/training-runs")
        async def runs() -> Item:
            return page(sorted(self.runs.values(), key=lambda run: str(run["id"]), reverse=True))

        @app.post("/training-runs", status_code=201)
        async def start(body: Item) -> Item:
            self.asked.append(("run", body))
            if self.hold_runs is not None:
                await self.hold_runs.wait()
            if body["kind"] == "full" and self.lacking:
                raise Problem(409, "training-unavailable", self.lacking)
            return self.run("running", kind=body["kind"])

        @app.post("/training-runs/{run_id}/cancellation")
        async def cancel(run_id: str) -> Item:
            self.asked.append(("cancellation", {"id": run_id}))
            if self.runs[run_id]["status"] not in ("queued", "running"):
                raise Problem(409, "run-ended", "The run has already ended; there is nothing to cancel.")
            return self.run("cancelled", run_id)

        @app.get("/training-runs/{run_id}/log")
        async def log(run_id: str) -> Item:
            if not self.logs_work:
                raise Problem(503, "database-unavailable", "The log cannot be read just now.")
            return page(self.logs.get(run_id, []))

        @app.get("/training-runs/stream", response_class=EventSourceResponse)
        async def stream() -> AsyncIterator[ServerSentEvent]:
            async for event in services.events("runs", "training-run"):
                yield event

        @app.get("/examples/owners")
        async def owners() -> Item:
            careful = {"confirmed_by": "owner-1", "labels": 120, "corrected": 14, "new_labels": None}
            seen = {"new_labels": 24, "corrections": 20, "contradicted": 17, "contrary": 16, "careless": True}
            return page([careful, {"confirmed_by": "owner-9", "labels": 24, "corrected": 22, **seen}])
