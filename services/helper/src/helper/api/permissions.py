"""Authorisation: who may call what, and see which task."""

import uuid
from typing import Annotated

from fastapi import Depends

from helper import repository
from helper.tasks import Task
from laundry_service.auth.callers import require, require_branch
from laundry_service.auth.principal import Principal
from laundry_service.http.problems import Problem
from laundry_service.storage.database import Database

Helper = Annotated[Principal, Depends(require("helper"))]
Owner = Annotated[Principal, Depends(require("owner"))]
OwnerOrOperator = Annotated[Principal, Depends(require("owner", "operator"))]
Viewer = Annotated[Principal, Depends(require("helper", "owner", "operator"))]


def branches_of(principal: Principal, branch_id: str | None) -> frozenset[str] | None:
    """Return the branches that the caller asks about: one, or all of his; None is all there are.

    Raises:
        Problem: 403.
    """
    if branch_id is not None:
        require_branch(principal, branch_id)
        return frozenset({branch_id})
    return None if principal.role == "operator" else principal.branches


async def visible(database: Database, principal: Principal, task_id: str) -> Task:
    """Return a task that the caller may see.

    Raises:
        Problem: 404 or 403.
    """
    async with repository.single(database) as connection:
        return allowed(principal, await repository.find(connection, task_id_of(task_id)), task_id)


def allowed(principal: Principal, task: Task | None, task_id: str) -> Task:
    """Return the task if the caller may see it.

    Raises:
        Problem: 404 or 403.
    """
    if task is None:
        raise _unknown(task_id)
    require_branch(principal, task.branch_id)
    return task


def _unknown(task_id: str) -> Problem:
    return Problem(404, "task-not-found", f"There is no task {task_id[:40]!r}.")


def task_id_of(text: str) -> str:
    """Read a task's id.

    Raises:
        Problem: 404; no task has such an id.
    """
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise _unknown(text) from error
