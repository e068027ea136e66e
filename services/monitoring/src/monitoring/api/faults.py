"""Faults and who takes care of them."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from laundry_service.audit.acts import Actor
from laundry_service.auth.callers import require
from laundry_service.auth.principal import Principal
from laundry_service.http.cursors import page_of, position, write_cursor
from laundry_service.http.problems import Problem
from laundry_service.storage.database import Database
from monitoring.api.equipment import Branches, Viewer
from monitoring.fault_handling import Handling
from monitoring.repository import handling as queries
from monitoring.repository.handling import FaultsStart
from monitoring.schemas import FaultPage, HandledFaultView
from monitoring.service.fault_handling import FaultClosed, FaultHandling, FaultUnknown

Handler = Annotated[Principal, Depends(require("owner", "operator"))]
NOT_CLOSED: tuple[Handling, ...] = ("open", "escalated", "acknowledged")


def faults_router(database: Database, fault_handling: FaultHandling) -> APIRouter:
    """Make the endpoints that show faults, and the one that acknowledges them."""
    router = APIRouter(prefix="/faults", tags=["faults"])

    @router.get("")
    async def list_faults(
        branches: Branches,
        handling: Annotated[
            list[Handling] | None, Query(description="Several may be given; without one all but closed")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(max_length=300)] = None,
    ) -> FaultPage:
        """List the faults of the caller's branches, newest first."""
        after = position(cursor, datetime, str)
        async with database.session() as session:
            found = await queries.list_faults(
                session,
                branches=branches,
                states=handling or NOT_CLOSED,
                after=None if after is None else FaultsStart(*after),
                limit=limit + 1,
            )
        shown, last = page_of(found, limit)
        return FaultPage(
            items=[HandledFaultView.with_machine(each) for each in shown],
            next_cursor=None if last is None else write_cursor(last.fault.detected_at, last.fault.id),
        )

    @router.get("/{fault_id}")
    async def show_fault(fault_id: str, principal: Viewer) -> HandledFaultView:
        """Show one fault, over or not."""
        async with database.session() as session:
            found = await queries.find(session, fault_id)
        if found is None or not principal.may_see_branch(found.fault.branch_id):
            raise _unknown()
        return HandledFaultView.with_machine(found)

    @router.post("/{fault_id}/acknowledgement")
    async def acknowledge_fault(fault_id: str, principal: Handler) -> HandledFaultView:
        """Take care of a fault, and of what else was wrong with its machine when people were told of it:
        nobody else is told. Who was first stays; repeating it changes nothing."""
        await show_fault(fault_id, principal)
        try:
            acknowledged = await fault_handling.acknowledge(fault_id, by=Actor.of(principal))
        except FaultUnknown as error:
            raise _unknown() from error
        except FaultClosed as error:
            raise Problem(
                409, "fault-closed", "The equipment is well again; there is nothing left to take care of."
            ) from error
        return HandledFaultView.with_machine(acknowledged)

    return router


def _unknown() -> Problem:
    # The same answer for another branch's fault.
    return Problem(404, "fault-unknown", "Your branches have no such fault.")
