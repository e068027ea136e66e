"""Probes. Liveness never depends on another server; readiness checks what the work needs."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.responses import JSONResponse

CHECK_TIMEOUT_S = 2.0


class NotReady(Exception):
    """A check that knows what an operator must change: its text is shown."""


@dataclass(frozen=True)
class Check:
    """One health check.

    Attributes:
        probe: raises or returns False on failure.
        required: if not, a failure is shown but the service stays ready (uploads go on without a broker).
    """

    name: str
    probe: Callable[[], Awaitable[bool]]
    required: bool = True


async def _run(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return "ok" if await check.probe() else "failed"
    except TimeoutError:
        return "timed out"
    except NotReady as refusal:
        return f"failed: {refusal}"
    except Exception as error:
        return f"failed: {type(error).__name__}"


def health_router(checks: list[Check]) -> APIRouter:
    """Make ``/livez`` and ``/readyz``; ``metrics_port.py`` has the metrics."""
    router = APIRouter(include_in_schema=False)

    @router.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        results = await asyncio.gather(*(_run(check) for check in checks))
        ready = all(result == "ok" for check, result in zip(checks, results, strict=True) if check.required)
        body = {
            "status": "ok" if ready else "not ready",
            "checks": {check.name: result for check, result in zip(checks, results, strict=True)},
        }
        return JSONResponse(body, 200 if ready else 503)

    return router
