"""The chapters of ``laundry learn``, told through the public addresses."""

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx

from laundry.demo.client import People, Person, Services, StoryFailed, until
from laundry.demo.photos import sample_photos, unique
from laundry.learn.photos import Shot
from laundry.paths import StackPaths

Advance = Callable[[float], None]
READ_WITHIN_S = 180
RUN_WITHIN_S = 600
SERVED_WITHIN_S = 60
LOAD_EVERY_S = 0.1
LOAD_DRAWN = 3
ENDED = ("succeeded", "failed", "cancelled")


@dataclass
class Report:
    """What came of it, for ``build/learn.json``."""

    photos_learnt: int = 0
    photos_further: int = 0
    right_at_first: int = 0
    corrected: int = 0
    further_before: int = 0
    households: dict[str, dict[str, int]] = field(default_factory=dict)
    further_after: int = 0
    champion_before: str = ""
    champion_after: str = ""
    run: dict[str, Any] = field(default_factory=dict)
    bad_run: dict[str, Any] = field(default_factory=dict)
    run_s: float = 0.0
    served_by_all_s: float = 0.0
    replicas: int = 0
    load_uploaded: int = 0
    load_read: int = 0
    load_s: float = 0.0
    load_models: dict[str, int] = field(default_factory=dict)
    rolled_back_to: str = ""


class Learning:
    """Tells the chapters in order; ``report`` is what happened so far."""

    def __init__(
        self, services: Services, people: People, paths: StackPaths, households: Sequence[str]
    ) -> None:
        """Take whose photos they are; each household has a branch of its own."""
        self.services = services
        self.paths = paths
        self.mark = secrets.token_hex(3)
        self.bad, self.load = (f"learn-{self.mark}-{part}" for part in ("bad", "load"))
        self.homes = {
            name: f"learn-{self.mark}-home-{number}" for number, name in enumerate(dict.fromkeys(households))
        }
        branches = (self.bad, self.load, *self.homes.values())
        self.helper = people.person("helper", f"helper-{self.mark}", *branches)
        self.owner = people.person("owner", f"owner-{self.mark}", *self.homes.values())
        self.careless = people.person("owner", f"careless-{self.mark}", self.bad)
        self.operator = people.person("operator", f"operator-{self.mark}")
        self.report = Report()

    async def champion(self) -> dict[str, Any]:
        """Ask for the model in service."""
        page = await self.services.json("GET", "mlops", "/models?limit=200", who=self.operator)
        found = [model for model in page["items"] if model["champion"]]
        if not found:
            raise StoryFailed("there is no champion")
        champion: dict[str, Any] = found[0]
        return champion

    async def taught_before(self) -> bool:
        """Ask whether anybody has confirmed anything yet."""
        page = await self.services.json("GET", "mlops", "/examples?limit=1", who=self.operator)
        return bool(page["items"])

    async def read(self, shots: Sequence[Shot], branch: str | None, advance: Advance) -> list[dict[str, Any]]:
        """Upload photos and wait until each is read; returns the tasks in the same order.

        Without a branch each photo goes to its household's.
        """
        tasks = []
        for shot in shots:
            tasks.append(await self._upload(shot.name, shot.body, branch or self.homes[shot.household]))
            advance(0.5)
        return [await self._outcome(task, advance) for task in tasks]

    async def _upload(self, name: str, body: bytes, branch: str) -> dict[str, Any]:
        task: dict[str, Any] = await self.services.json(
            "POST",
            "helper",
            "/tasks",
            who=self.helper,
            # The same photo in the same branch is otherwise the same task, with the reading that it has.
            headers={"Idempotency-Key": secrets.token_hex(16)},
            files={"photo": (name, body, "application/octet-stream")},
            data={"branch_id": branch},
        )
        return task

    async def _outcome(self, task: dict[str, Any], advance: Advance = lambda _: None) -> dict[str, Any]:
        async def ask() -> Any:
            shown = await self.services.json("GET", "helper", f"/tasks/{task['id']}", who=self.helper)
            return shown if shown["status"] != "submitted" else None

        shown, _ = await until(ask, within_s=READ_WITHIN_S, what=f"the reading of {task['id']}")
        advance(0.5)
        result: dict[str, Any] = shown
        return result

    async def confirm(
        self, tasks: Sequence[dict[str, Any]], labels: Sequence[str], who: Person, advance: Advance
    ) -> int:
        """Confirm or correct each task; returns how many were corrected. Waits until mlops has them all."""
        corrected = 0
        for task, label in zip(tasks, labels, strict=True):
            body = {"labels": [{"label": label, "count": 1}]}
            path = f"/tasks/{task['id']}/confirmation"
            shown = await self.services.json("POST", "helper", path, who=who, json=body)
            corrected += bool(shown["confirmation"]["corrected"])
            advance(1)

        missing = {task["id"] for task in tasks}

        async def stored() -> bool:
            path = "/examples?limit=200"
            while missing and path:
                page = await self.services.json("GET", "mlops", path, who=self.operator)
                missing.difference_update(example["task_id"] for example in page["items"])
                further = page["next_cursor"]
                path = f"/examples?{urlencode({'limit': 200, 'cursor': further})}" if further else ""
            return not missing

        await until(stored, within_s=60, what="the examples at mlops")
        return corrected

    async def retrain(self, advance: Advance) -> tuple[dict[str, Any], float]:
        """Start a refit and follow it to its end; returns the run and its seconds."""
        began = time.perf_counter()
        run = await self.services.json(
            "POST", "mlops", "/training-runs", who=self.operator, json={"kind": "refit"}
        )
        shown = 0.0

        async def ended() -> Any:
            nonlocal shown
            now = await self.services.json("GET", "mlops", f"/training-runs/{run['id']}", who=self.operator)
            advance(max(0.0, now["progress"] - shown))
            shown = max(shown, now["progress"])
            return now if now["status"] in ENDED else None

        found, _ = await until(ended, within_s=RUN_WITHIN_S, what="the end of the training run")
        if found["status"] != "succeeded":
            raise StoryFailed(f"the training run {found['status']}: {found['error']}")
        return found, time.perf_counter() - began

    async def served_by_all(self, version: str) -> tuple[int, float]:
        """Wait until every replica says that it serves a version; returns how many there are, and seconds."""

        async def asked() -> int:
            known = self.services.stack["metrics_urls"]
            urls = [url for name, url in known.items() if name.startswith("ai-consumer")]
            wanted = f'laundry_model_served{{version="{version}"}} 1'
            async with httpx.AsyncClient(timeout=5) as client:
                for url in urls:
                    with suppress(httpx.HTTPError):
                        if wanted in (await client.get(url)).text:
                            continue
                    return 0
            return len(urls)

        count, took = await until(asked, within_s=SERVED_WITHIN_S, what=f"{version} in every replica")
        return int(count), took

    async def keep_uploading(self, stop: asyncio.Event) -> None:
        """Upload drawn photos until told to stop, then see that every one was read."""
        # Only a few are drawn: that costs more than reading them does, and slows the run that is watched.
        few = await asyncio.to_thread(sample_photos, LOAD_DRAWN, seed=7)
        tasks: list[dict[str, Any]] = []
        began = due = time.perf_counter()
        while not stop.is_set():
            name, body = few[len(tasks) % len(few)]
            tasks.append(await self._upload(name, unique(body), self.load))
            # Counted from when it was due, so that uploading takes nothing off the pace; but no bursts.
            due = max(due + LOAD_EVERY_S, time.perf_counter())
            with suppress(TimeoutError):
                async with asyncio.timeout(due - time.perf_counter()):
                    await stop.wait()
        self.report.load_s = time.perf_counter() - began
        read = [await self._outcome(task) for task in tasks]
        self.report.load_uploaded = len(tasks)
        self.report.load_read = sum(task["status"] == "read" for task in read)
        for task in read:
            if task["reading"]:
                version = task["reading"]["model_version"]
                self.report.load_models[version] = self.report.load_models.get(version, 0) + 1

    async def roll_back(self) -> str:
        """Roll back to the former champion."""
        model = await self.services.json("POST", "mlops", "/models/rollback", who=self.operator)
        await self.served_by_all(model["version"])
        return str(model["version"])


def right(tasks: Sequence[dict[str, Any]], shots: Sequence[Shot]) -> int:
    """Count the readings whose first guess is what the photo shows."""
    return sum(
        bool(task["reading"]) and task["reading"]["labels"][0]["label"] == shot.label
        for task, shot in zip(tasks, shots, strict=True)
    )


def check_reader(tasks: Sequence[dict[str, Any]], version: str) -> None:
    """Check that a model, and no other, read what was read.

    Raises:
        StoryFailed: another did.
    """
    others = {task["reading"]["model_version"] for task in tasks if task["reading"]} - {version}
    if others:
        raise StoryFailed(f"{', '.join(sorted(others))} read the photos, not {version}")


def count_households(
    report: Report, when: str, tasks: Sequence[dict[str, Any]], shots: Sequence[Shot]
) -> int:
    """Count what was read right of each household's further photos, ``when``; returns the sum."""
    for task, shot in zip(tasks, shots, strict=True):
        counts = report.households.setdefault(shot.household, {"photos": 0, "before": 0, "after": 0})
        counts["photos"] += when == "before"
        counts[when] += right([task], [shot])
    return right(tasks, shots)


def wrong_labels(shots: Sequence[Shot], labels: Sequence[str]) -> list[str]:
    """Draw a wrong label for each photo, as somebody does who does not look."""
    chance = random.Random("careless")  # noqa: S311 - a draw, no secret
    return [chance.choice([label for label in labels if label != shot.label]) for shot in shots]
