"""Tasks as lists, as a stream of changes and one by one, and what may be confirmed."""

import base64
import binascii
import uuid
from collections.abc import Sequence
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Request

from helper import repository
from helper.api.history import Wanted
from helper.api.permissions import Helper, Viewer, branches_of, visible
from helper.repository import lists
from helper.schemas import BRANCH, LabelList, TaskBody, TaskList
from helper.tasks import Status, Task
from laundry_service.http.cursors import page_of
from laundry_service.http.problems import Problem
from laundry_service.storage.database import Database
from laundry_service.streams.changes import Changes
from laundry_service.streams.response import EVENT_STREAM, EventStream


def tasks_router(
    database: Database, changes: Changes, known_labels: Sequence[str], zone: ZoneInfo
) -> APIRouter:
    """Make the endpoints that only read."""
    api = APIRouter(tags=["tasks"])

    @api.get("/tasks", summary="List tasks, newest first")
    async def listed(
        *,
        principal: Viewer,
        wanted: Annotated[Wanted, Depends()],
        status: Annotated[
            list[Status] | None, Query(description="May be repeated; none is all but withdrawn ones")
        ] = None,
        branch_id: Annotated[str | None, Query(pattern=f"^{BRANCH.pattern}$")] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(max_length=100)] = None,
    ) -> TaskList:
        branches = branches_of(principal, branch_id)
        before = None if cursor is None else _read_cursor(cursor)
        async with repository.single(database) as connection:
            found = await lists.newest(
                connection,
                branches=branches,
                statuses=status or [],
                before=before,
                limit=limit + 1,
                search=wanted.search(zone),
            )
        return _page(found, limit)

    @api.get(
        "/tasks/corrected", summary="List the caller's photos whose reading an owner corrected, newest first"
    )
    async def corrected(
        principal: Helper,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(max_length=100)] = None,
    ) -> TaskList:
        before = None if cursor is None else _read_cursor(cursor)
        async with repository.single(database) as connection:
            found = await lists.corrected_of(
                connection, principal.sub, branches=principal.branches, before=before, limit=limit + 1
            )
        return _page(found, limit)

    @api.get(
        "/tasks/stream",
        response_class=EventStream,
        responses=EVENT_STREAM,
        summary="Changed tasks as server-sent events",
    )
    async def stream(request: Request, principal: Viewer) -> EventStream:
        """Tell `ready` at once, then `task` with the whole task at each change."""
        topics = None if principal.role == "operator" else principal.branches
        return EventStream(request.app.state.streams, changes, principal, topics=topics)

    @api.get("/labels", summary="What may be confirmed")
    async def labels(_: Viewer) -> LabelList:
        return LabelList(items=list(known_labels))

    @api.get("/tasks/{task_id}", summary="Show a task")
    async def show(principal: Viewer, task_id: str) -> TaskBody:
        return TaskBody.of(await visible(database, principal, task_id))

    return api


def _page(found: Sequence[Task], limit: int) -> TaskList:
    """Make a page of what was found with one more than its limit."""
    shown, last = page_of(found, limit)
    return TaskList(
        items=[TaskBody.of(task) for task in shown], next_cursor=None if last is None else _cursor(last.id)
    )


def _cursor(task_id: str) -> str:
    return base64.urlsafe_b64encode(uuid.UUID(task_id).bytes).decode().rstrip("=")


def _read_cursor(text: str) -> str:
    try:
        return str(uuid.UUID(bytes=base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))
    except (ValueError, binascii.Error) as error:
        raise Problem(
            422, "cursor-invalid", "Send the next_cursor of the page before, or none for the newest."
        ) from error
