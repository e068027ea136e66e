"""Equipment out: its list, its event stream, its retirement."""

import re
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from laundry_events.events import BranchId
from laundry_service.audit.acts import Actor
from laundry_service.audit.http import Reason
from laundry_service.auth.callers import require, require_branch
from laundry_service.auth.principal import Principal
from laundry_service.http.cursors import BadCursor, not_ours, page_of, read_cursor, write_cursor
from laundry_service.http.problems import Problem
from laundry_service.storage.database import Database
from laundry_service.streams.changes import Changes
from laundry_service.streams.response import EVENT_STREAM, EventStream
from monitoring.machine import MachineKey
from monitoring.repository import equipment
from monitoring.repository.equipment import EquipmentState, PageStart
from monitoring.schemas import EquipmentDetail, EquipmentPage, EquipmentView, FaultView
from monitoring.service.equipment_monitor import EquipmentMonitor
from monitoring.telemetry import Kind, is_equipment_id

Operator = Annotated[Principal, Depends(require("operator"))]
Viewer = Annotated[Principal, Depends(require("owner", "helper", "operator"))]


def branches_asked(
    principal: Viewer, branch_id: Annotated[BranchId | None, Query()] = None
) -> frozenset[str] | None:
    """Return the branches whose equipment is asked for, as a FastAPI dependency; ``None`` means all."""
    if branch_id is not None:
        require_branch(principal, branch_id)
        return frozenset({branch_id})
    return None if principal.role == "operator" else principal.branches


InBranch = Annotated[BranchId | None, Query(description="Needed where several branches use the name")]
Branches = Annotated[frozenset[str] | None, Depends(branches_asked)]


def equipment_router(database: Database, changes: Changes, monitor: EquipmentMonitor) -> APIRouter:
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
        after = None if cursor is None else _page_start(cursor)
        async with database.session() as session:
            found = await equipment.list_equipment(
                session, branches=branches, state=state, kind=kind, after=after, limit=limit + 1
            )
        shown, last = page_of(found, limit)
        return EquipmentPage(
            items=[EquipmentView.of(each) for each in shown],
            next_cursor=None
            if last is None
            else write_cursor(last.first_seen_at, last.key.equipment_id, last.key.branch_id),
        )

    @router.get("/stream", response_class=EventStream, responses=EVENT_STREAM)
    async def stream_equipment(request: Request, principal: Viewer, branches: Branches) -> EventStream:
        """Stream each piece of equipment when it appears, moves, becomes faulty or recovers.

        `ready` comes at once, `equipment` with the whole state at each change, and `gone` with `id` and
        `branch_id` when it leaves a branch: it moved or was retired.
        """
        return EventStream(request.app.state.streams, changes, principal, topics=branches)

    @router.get("/{equipment_id}")
    async def show_equipment(
        equipment_id: str, principal: Viewer, branch_id: InBranch = None
    ) -> EquipmentDetail:
        """Show one piece of equipment with its newest faults. A name used in several branches needs
        `branch_id`."""
        async with database.session() as session:
            branches = await equipment.branches_with(session, equipment_id)
            key = MachineKey(_one_branch(principal, branches, branch_id), equipment_id)
            found = await equipment.find(session, key)
            if found is None:
                raise _unknown()
            recent = await equipment.newest_faults(session, key)
        shown = EquipmentView.of(found)
        return EquipmentDetail(**dict(shown), recent_faults=[FaultView.of(fault) for fault in recent])

    @router.delete("/{equipment_id}", status_code=204)
    async def retire_equipment(
        equipment_id: str, principal: Operator, branch_id: InBranch = None, reason: Reason = None
    ) -> None:
        """Retire equipment: its silence is then not a fault. A new sample registers it again."""
        async with database.session() as session:
            branches = await equipment.branches_with(session, equipment_id)
        key = MachineKey(_one_branch(principal, branches, branch_id), equipment_id)
        if not await monitor.retire(key, by=Actor.of(principal), reason=reason):
            raise _unknown()

    return router


def _page_start(cursor: str) -> PageStart:
    try:
        return _read_cursor(cursor)
    except BadCursor as error:
        raise not_ours() from error


def _read_cursor(cursor: str) -> PageStart:
    try:
        moment, equipment_id, branch_id = read_cursor(cursor, datetime, str, str)
    except BadCursor:
        # Cursors of the previous release name no branch.
        moment, equipment_id = read_cursor(cursor, datetime, str)
        branch_id = ""
    if not is_equipment_id(equipment_id) or not re.fullmatch("[a-z0-9-]{0,40}", branch_id):
        raise BadCursor(cursor)
    return PageStart(moment, equipment_id, branch_id)


def _unknown() -> Problem:
    # The same answer for another branch's equipment, so that names cannot be probed.
    return Problem(404, "equipment-unknown", "Your branches have no such equipment.")


def _one_branch(principal: Principal, branches: list[str], branch_id: str | None) -> str:
    """Return the branch of the machine in question."""
    visible = [b for b in branches if principal.may_see_branch(b) and branch_id in (None, b)]
    if not visible:
        raise _unknown()
    if len(visible) > 1:
        raise Problem(
            409,
            "equipment-ambiguous",
            "Several of your branches have a machine of this name. Say which with ?branch_id=.",
            branches=visible,
        )
    return visible[0]
