"""HTTP: telemetry in, equipment out."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel

from laundry_events.events import BranchId
from laundry_service.audit.acts import Actor, Reason
from laundry_service.auth import Principal, require, require_branch
from laundry_service.database import Database
from laundry_service.problems import Problem
from laundry_service.streams import EVENT_STREAM, Changes, EventStream
from monitoring import views
from monitoring.monitor import Monitor
from monitoring.telemetry import BadTelemetry, Kind, Sample, Telemetry, Trouble, parse
from monitoring.views import EquipmentDetail, EquipmentPage, EquipmentState

Sender = Annotated[Principal, Depends(require("device", "operator"))]
Operator = Annotated[Principal, Depends(require("operator"))]
Viewer = Annotated[Principal, Depends(require("owner", "helper", "operator"))]


def _telemetry_body() -> dict[str, Any]:
    """Describe the body for OpenAPI: it is read by hand, as MQTT messages are."""
    schema = Telemetry.model_json_schema()
    schema["properties"]["samples"]["items"] = schema.pop("$defs")["Sample"]
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


class SampleProblem(BaseModel):
    """What is to be said of one sample of the request."""

    index: int
    code: str
    detail: str


class TelemetryTaken(BaseModel):
    """What became of the samples; the three counts add up to how many were sent."""

    accepted: int
    duplicate: int
    ignored: int
    problems: list[SampleProblem]


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


def _may_send(principal: Principal, samples: list[Sample]) -> None:
    for index, sample in enumerate(samples):
        if principal.role == "device" and sample.equipment_id != principal.sub:
            raise Problem(
                403,
                "equipment-forbidden",
                f"samples.{index}: a device sends samples of itself only; the token is {principal.sub!r}'s.",
            )
        require_branch(principal, sample.branch_id)


def telemetry_router(monitor: Monitor, *, max_bytes: int) -> APIRouter:
    """Make ``POST /telemetry``."""
    router = APIRouter(tags=["telemetry"])

    @router.post("/telemetry", status_code=202, openapi_extra=_telemetry_body())
    async def take_telemetry(request: Request, principal: Sender) -> TelemetryTaken:
        """Take 1 to 500 samples. A device sends its own; nothing is kept of a request that is refused."""
        body = await _body(request, max_bytes)
        try:
            samples = parse(body)
            _may_send(principal, samples)
            taken = await monitor.take(samples, via="http")
        except BadTelemetry as error:
            raise _refuse(error) from error
        return TelemetryTaken(
            accepted=taken.accepted,
            duplicate=taken.duplicate,
            ignored=taken.ignored,
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
        except views.BadCursor as error:
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
    async def show_equipment(equipment_id: str, principal: Viewer) -> EquipmentDetail:
        """Show one piece of equipment with its newest faults."""
        async with database.session() as session:
            found = await views.find_equipment(session, equipment_id)
        # The same answer for another branch's equipment: nobody can probe for names.
        if found is None or not principal.may_see_branch(found.branch_id):
            raise Problem(404, "equipment-unknown", "Your branches have no such equipment.")
        return found

    @router.delete("/{equipment_id}", status_code=204)
    async def retire_equipment(equipment_id: str, principal: Operator, reason: Reason = None) -> None:
        """Forget equipment that is gone: its silence is no fault. A new sample makes it known again."""
        if not await monitor.retire(equipment_id, by=Actor.of(principal), reason=reason):
            raise Problem(404, "equipment-unknown", "There is no such equipment.")

    return router
