"""``POST /telemetry``: samples in."""

import math
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from laundry_service.auth.callers import require
from laundry_service.auth.principal import Principal
from laundry_service.http.problems import Problem
from monitoring.api.request_body import read_body
from monitoring.device_limits import DeviceKey, DeviceLimits
from monitoring.machine import Contact
from monitoring.sample_issues import SampleIssue
from monitoring.schemas import SampleProblem, TelemetryTaken
from monitoring.service.telemetry_intake import IntakeRequest, TelemetryIntake
from monitoring.telemetry import InvalidTelemetry, Telemetry, parse

Sender = Annotated[Principal, Depends(require("device", "operator"))]


def _telemetry_body() -> dict[str, Any]:
    """Describe the body for OpenAPI: it is read by hand, as MQTT messages are."""
    schema = Telemetry.model_json_schema()
    sample = schema.pop("$defs")["Sample"]
    other = {"description": "Anything else is no reason to refuse its neighbours: it is judged by itself."}
    schema["properties"]["samples"]["items"] = {"anyOf": [sample, other]}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _problems(issues: Sequence[SampleIssue]) -> list[dict[str, Any]]:
    return [problem.model_dump() for problem in SampleProblem.of_all(issues)]


def _invalid(error: InvalidTelemetry) -> Problem:
    status = 400 if error.code == "malformed-json" else 422
    return Problem(status, error.code, error.detail, problems=_problems(error.issues))


def _too_fast(wait_s: float) -> Problem:
    return Problem(
        429,
        "rate-exceeded",
        f"This device sends more samples than it may. Send again in {wait_s:.0f} s, many in a request.",
        headers={"Retry-After": str(max(1, math.ceil(wait_s)))},
    )


def _all_refused(refused: list[SampleIssue]) -> Problem:
    """Make the problem for a request of which nothing was accepted."""
    first, codes = refused[0], {issue.code for issue in refused}
    status, headers = 422, {}
    if codes <= {"equipment-forbidden", "branch-forbidden"}:
        status = 403
    elif "busy" in codes:
        status, headers = 503, {"Retry-After": "5"}
        first = next(issue for issue in refused if issue.code == "busy")
    return Problem(status, first.code, first.detail, headers=headers, problems=_problems(refused))


def telemetry_router(intake: TelemetryIntake, limits: DeviceLimits, *, max_bytes: int) -> APIRouter:
    """Make the endpoint; a body has at most ``max_bytes``."""
    router = APIRouter(tags=["telemetry"])

    @router.post("/telemetry", status_code=202, openapi_extra=_telemetry_body())
    async def take_telemetry(request: Request, principal: Sender) -> TelemetryTaken:
        """Accept 1 to 500 samples, each on its own. A device sends only its own. 202 if any was accepted."""
        device = DeviceKey(principal.sub, principal.branches) if principal.role == "device" else None
        if device is not None and (wait_s := limits.wait_s(device)) > 0:
            raise _too_fast(wait_s)
        body = await read_body(request, max_bytes=max_bytes)
        if body is None:
            raise Problem(
                413,
                "telemetry-too-large",
                f"At most {max_bytes} bytes are taken. Send fewer samples at once.",
            )
        try:
            parsed = parse(body, intake.known_metrics, now=intake.now())
        except InvalidTelemetry as error:
            raise _invalid(error) from error
        finally:
            if device is not None:
                limits.spend(device, 1)
        branches = None if device is None else principal.branches
        if device is not None:
            limits.spend(device, len(parsed.samples) + len(parsed.refused) - 1)
        parsed.refuse_unauthorised(None if device is None else device.name, branches)
        result = await intake.take(IntakeRequest(parsed, Contact("http", branches)))
        if result.refused and not result.taken:
            raise _all_refused(result.refused)
        return TelemetryTaken(
            accepted=result.accepted,
            duplicate=result.duplicate,
            ignored=result.ignored,
            refused=SampleProblem.of_all(result.refused),
            problems=SampleProblem.of_all(result.problems),
        )

    return router
