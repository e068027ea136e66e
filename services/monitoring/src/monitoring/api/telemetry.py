"""HTTP: telemetry in, equipment out."""

import math
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from laundry_events.events import BranchId
from laundry_service.audit.acts import Actor, Reason
from laundry_service.auth import Principal, require, require_branch
from laundry_service.cursors import BadCursor
from laundry_service.database import Database
from laundry_service.problems import Problem
from laundry_service.streams import EVENT_STREAM, Changes, EventStream
from monitoring.device_limits import Traffic
from monitoring.repository import equipment_views as views
from monitoring.repository.equipment_views import EquipmentDetail, EquipmentPage, EquipmentState
from monitoring.service.telemetry_intake import Monitor
from monitoring.telemetry import BadTelemetry, Kind, Looked, Parsed, Telemetry, Trouble, parse

Sender = Annotated[Principal, Depends(require("device", "operator"))]
Operator = Annotated[Principal, Depends(require("operator"))]
Viewer = Annotated[Principal, Depends(require("owner", "helper", "operator"))]


def _telemetry_body() -> dict[str, Any]:
    """Describe the body for OpenAPI: it is read by hand, as MQTT messages are."""
    schema = Telemetry.model_json_schema()
    sample = schema.pop("$defs")["Sample"]
    other = {"description": "Anything else is no reason to refuse its neighbours: it is judged by itself."}
    schema["properties"]["samples"]["items"] = {"anyOf": [sample, other]}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


class SampleProblem(BaseModel):
    """What is to be said of one sample of the request."""

    index: int
    code: str
    detail: str


class TelemetryTaken(BaseModel):
    """What became of each sample; the three counts and what is refused add up to how many were sent."""

    accepted: int
    duplicate: int
    ignored: int
    refused: list[SampleProblem] = Field(default=[], description="Samples that were not taken, and why")
    problems: list[SampleProblem] = Field(description="What there is to say of samples that were taken")


def _problems(troubles: list[Trouble] | tuple[Trouble, ...]) -> list[dict[str, Any]]:
    return [{"index": t.index, "code": t.code, "detail": t.detail} for t in troubles]


def _refuse(error: BadTelemetry) -> Problem:
    status = 400 if error.code == "malformed-json" else 422
    return Problem(status, error.code, error.detail, problems=_problems(error.troubles))


async def _body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise Problem(
                413, "telemetry-too-large", f"At most {limit} bytes are taken. Send fewer samples at once."
            )
    return bytes(body)


def _sort_out(principal: Principal, parsed: Parsed) -> None:
    """Refuse the samples for which the caller may not speak."""
    allowed: list[Looked] = []
    for look in parsed.looks:
        sample, place = look.sample, f"samples.{look.index}"
        if principal.role == "device" and sample.equipment_id != principal.sub:
            why = f"{place}: a device sends samples of itself only; the token is {principal.sub!r}'s."
            parsed.refused.append(Trouble(look.index, "equipment-forbidden", why))
        elif not principal.may_see_branch(sample.branch_id):
            why = f"{place}: the token does not name the branch {sample.branch_id!r}."
            parsed.refused.append(Trouble(look.index, "branch-forbidden", why))
        else:
            allowed.append(look)
    parsed.looks = allowed


def _nothing_taken(refused: list[Trouble]) -> Problem:
    """Say why nothing of a request was taken."""
    first, codes = refused[0], {trouble.code for trouble in refused}
    status, headers = 422, {}
    if codes <= {"equipment-forbidden", "branch-forbidden"}:
        status = 403
    elif "busy" in codes:
        status, headers = 503, {"Retry-After": "5"}
        first = next(trouble for trouble in refused if trouble.code == "busy")
    return Problem(status, first.code, first.detail, headers=headers, problems=_problems(refused))


def telemetry_router(monitor: Monitor, traffic: Traffic, *, max_bytes: int) -> APIRouter:
    """Make ``POST /telemetry``."""
    router = APIRouter(tags=["telemetry"])

    @router.post("/telemetry", status_code=202, openapi_extra=_telemetry_body())
    async def take_telemetry(request: Request, principal: Sender) -> TelemetryTaken:
        """Take 1 to 500 samples, each for itself. A device sends its own. 202 where any sample was taken."""
        is_device = principal.role == "device"
        if is_device and (wait := traffic.wait(principal.sub)) > 0:
            raise Problem(
                429,
                "rate-exceeded",
                f"This device sends more samples than it may. Send again in {wait:.0f} s, many in a request.",
                headers={"Retry-After": str(max(1, math.ceil(wait)))},
            )
        body = await _body(request, max_bytes)
        try:
            parsed = parse(body, monitor.known_metrics, now=monitor.now())
        except BadTelemetry as error:
            raise _refuse(error) from error
        finally:
            if is_device:
                traffic.spend(principal.sub, 1)
        if is_device:
            traffic.spend(principal.sub, len(parsed.looks) + len(parsed.refused) - 1)
        _sort_out(principal, parsed)
        speaks_for = principal.branches if is_device else None
        taken = await monitor.take(parsed, via="http", speaks_for=speaks_for)
        if taken.refused and not taken.taken:
            raise _nothing_taken(taken.refused)
        return TelemetryTaken(
            accepted=taken.accepted,
            duplicate=taken.duplicate,
            ignored=taken.ignored,
            refused=[SampleProblem(**item) for item in _problems(taken.refused)],
            problems=[SampleProblem(**item) for item in _problems(taken.problems)],
        )

    return router


def branches_asked(
    principal: Viewer, branch_id: Annotated[BranchId | None, Query()] = None
) -> frozenset[str] | None:
    """FastAPI dependency: the branches whose equipment is asked for; none means all."""
    if branch_id is not None:
        require_branch(principal, branch_id)
        return frozenset({branch_id})
    return None if principal.role == "operator" else principal.branches


InBranch = Annotated[BranchId | None, Query(description="Needed where several branches use the name")]
Branches = Annotated[frozenset[str] | None, Depends(branches_asked)]


def equipment_router(database: Database, changes: Changes, monitor: Monitor) -> APIRouter:
    """Make the endpoints that show equipment, and the one that retires it."""
    router = APIRouter(prefix="/equipment", tags=["equipment"])

    @router.get("")
    async def list_equipment(
        branches: Branches,
        state: Annotated[EquipmentState | None, Query()] = None,
        kind: Annotated[Kind | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(max_length=300)] = None,
    ) -> EquipmentPage:
        """List the equipment of the caller's branches, newest first."""
        try:
            async with database.session() as session:
                return await views.list_equipment(
                    session, branches=branches, state=state, kind=kind, limit=limit, cursor=cursor
                )
        except BadCursor as error:
            raise Problem(
                422, "cursor-invalid", "Use next_cursor of the page before, or leave cursor out."
            ) from error

    @router.get("/stream", response_class=EventStream, responses=EVENT_STREAM)
    async def stream_equipment(request: Request, principal: Viewer, branches: Branches) -> EventStream:
        """Send each piece of equipment when it appears, moves, becomes faulty or is well again.

        `ready` comes at once, `equipment` with the whole state at each change, and `gone` with `id` and
        `branch_id` when a branch has it no more: it moved or was retired.
        """
        return EventStream(request.app.state.streams, changes, principal, topics=branches)

    @router.get("/{equipment_id}")
    async def show_equipment(
        equipment_id: str, principal: Viewer, branch_id: InBranch = None
    ) -> EquipmentDetail:
        """Show one piece of equipment with its newest faults. A name that several branches use needs one."""
        async with database.session() as session:
            branch = _the_one(principal, await views.branches_with(session, equipment_id), branch_id)
            found = await views.find_equipment(session, equipment_id, branch)
        if found is None:
            raise _unknown()
        return found

    @router.delete("/{equipment_id}", status_code=204)
    async def retire_equipment(
        equipment_id: str, principal: Operator, branch_id: InBranch = None, reason: Reason = None
    ) -> None:
        """Forget equipment that is gone: its silence is no fault. A new sample makes it known again."""
        async with database.session() as session:
            branch = _the_one(principal, await views.branches_with(session, equipment_id), branch_id)
        if not await monitor.retire(equipment_id, branch, by=Actor.of(principal), reason=reason):
            raise _unknown()

    return router


def _unknown() -> Problem:
    # The same answer for another branch's equipment: nobody can probe for names.
    return Problem(404, "equipment-unknown", "Your branches have no such equipment.")


def _the_one(principal: Principal, branches: list[str], branch_id: str | None) -> str:
    """Return the branch whose machine is meant."""
    seen = [b for b in branches if principal.may_see_branch(b) and branch_id in (None, b)]
    if not seen:
        raise _unknown()
    if len(seen) > 1:
        raise Problem(
            409,
            "equipment-ambiguous",
            "Several of your branches have a machine of this name. Say which with ?branch_id=.",
            branches=seen,
        )
    return seen[0]
