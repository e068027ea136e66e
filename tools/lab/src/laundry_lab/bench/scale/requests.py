"""Requests as people's pages make them, one after another, and the median of their times."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import httpx

from laundry_lab.bench.scale.growth import Growth, Reading
from laundry_lab.bench.stage import NotMeasured, Stage

REPETITIONS = 5
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Request:
    """A request of one person's page.

    Attributes:
        branches: of the person's token.
        subject: who the person is; by default one who did nothing yet.
    """

    name: str
    service: str
    path: str
    role: str
    branches: Sequence[str] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    subject: str | None = None
    growth: Growth = "page"


async def timed(stage: Stage, requests: Sequence[Request], rows: int) -> list[Reading]:
    """Make each request, once to warm up and then several times.

    Raises:
        NotMeasured: one was refused.
    """
    return [await _one(stage, each, rows) for each in requests]


async def _one(stage: Stage, request: Request, rows: int) -> Reading:
    # A person of its own for each: what one may ask in a minute is limited.
    who = request.subject or f"scale-{stage.run}-{request.name}"
    headers = stage.headers(request.role, *request.branches, subject=who)
    times, items = [], 0
    async with stage.client(request.service) as client:
        client.timeout = httpx.Timeout(PATIENCE_S)
        for _ in range(REPETITIONS + 1):
            began = time.perf_counter()
            answer = await client.get(request.path, params=request.parameters, headers=headers)
            times.append(1000 * (time.perf_counter() - began))
            if answer.status_code != 200:
                raise NotMeasured(f"scale, {request.name}: {answer.status_code} {answer.text[:150]}")
            items = len(answer.json().get("items", ()))
    return Reading(request.name, request.growth, rows, median(times[1:]), note=f"{items} items")
