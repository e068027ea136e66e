"""HTTP: models and training runs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as PathParam
from fastapi.sse import EventSourceResponse, ServerSentEvent

from laundry_service.auth import Principal, require
from laundry_service.changes import Changes
from laundry_service.database import Database
from laundry_service.objectstore import ObjectStoreUnavailable
from laundry_service.problems import Problem
from mlops import repository
from mlops.bodies import ModelBody, ModelPage, NewRun, RunBody, RunPage, model_body, run_body
from mlops.full import why_not
from mlops.registry import AlreadyChampion, BrokenModel, NoSuchModel, Registry
from mlops.stream import changed_runs

Reader = Annotated[Principal, Depends(require("owner", "operator", "helper"))]
Operator = Annotated[Principal, Depends(require("operator"))]
Limit = Annotated[int, Query(ge=1, le=200)]
# Text that a database takes; anything else names nothing there.
PLAIN = r"^[A-Za-z0-9._-]{1,64}$"
Name = Annotated[str, PathParam(pattern=PLAIN)]
Cursor = Annotated[
    str | None, Query(max_length=64, pattern=PLAIN, description="`next_cursor` of the page before")
]

log = structlog.get_logger(__name__)


def models_router(database: Database, registry: Registry) -> APIRouter:
    """Make the endpoints of the models."""
    routes = APIRouter(prefix="/models", tags=["models"])

    @routes.get("")
    async def list_models(_: Reader, limit: Limit = 50, cursor: Cursor = None) -> ModelPage:
        """List models, newest first; one of them is the champion that reads photos."""
        async with database.session() as session:
            rows = await repository.list_models(session, limit=limit + 1, before=cursor)
        return ModelPage(
            items=[model_body(row) for row in rows[:limit]],
            next_cursor=rows[limit - 1]["id"] if len(rows) > limit else None,
        )

    @routes.get("/{version}")
    async def get_model(version: Name, _: Reader) -> ModelBody:
        """Show one model."""
        async with database.session() as session:
            row = await repository.get_model(session, version)
        if row is None:
            raise _no_model(version)
        return model_body(row)

    @routes.post("/{version}/promotion", responses={202: {"description": "Decided, not announced yet"}})
    async def promote(version: Name, operator: Operator, response: Response) -> ModelBody:
        """Make a model the champion. Rolling back is promoting the former one."""
        try:
            row = await registry.promote(version, promoted_by=operator.sub)
        except NoSuchModel as error:
            raise _no_model(version) from error
        except AlreadyChampion as error:
            raise Problem(
                409, "already-champion", f"{version} is the champion already; nothing has changed."
            ) from error
        except BrokenModel as error:
            raise Problem(
                409, "model-broken", f"{error} It is not promoted. Train or register the model anew."
            ) from error
        except ObjectStoreUnavailable as error:
            raise Problem(
                503,
                "object-store-unavailable",
                "The models cannot be reached; nothing has changed. Try again shortly.",
                headers={"Retry-After": "5"},
            ) from error
        try:
            await registry.announce()
        except ObjectStoreUnavailable as error:
            # The decision is committed; the keeper announces it as soon as the store is back.
            log.warning("a promotion waits to be announced", version=version, error=str(error))
            response.status_code = 202
        return model_body(row)

    return routes


def runs_router(database: Database, changes: Changes) -> APIRouter:
    """Make the endpoints of the training runs."""
    routes = APIRouter(prefix="/training-runs", tags=["training runs"])

    @routes.post("", status_code=201)
    async def start_run(wanted: NewRun, operator: Operator, response: Response) -> RunBody:
        """Queue a training run; runs go one after another."""
        if wanted.kind == "full":
            raise Problem(409, "training-unavailable", why_not())
        async with database.transaction() as session:
            row = await repository.add_run(session, wanted.kind, requested_by=operator.sub)
        response.headers["Location"] = f"/training-runs/{row['id']}"
        return run_body(row)

    @routes.get("")
    async def list_runs(_: Operator, limit: Limit = 50, cursor: Cursor = None) -> RunPage:
        """List training runs, newest first."""
        async with database.session() as session:
            rows = await repository.list_runs(session, limit=limit + 1, before=cursor)
        return RunPage(
            items=[run_body(row) for row in rows[:limit]],
            next_cursor=rows[limit - 1]["id"] if len(rows) > limit else None,
        )

    @routes.get("/stream", response_class=EventSourceResponse)
    async def follow_runs(_: Operator, request: Request) -> AsyncIterator[ServerSentEvent]:
        """Follow training runs: ``ready`` at once, then the whole run at each change (server-sent events)."""
        stopping: asyncio.Event = request.app.state.stopping
        async for event in changed_runs(changes, database, stopping=stopping):
            yield event

    @routes.get("/{run_id}")
    async def get_run(run_id: Name, _: Operator) -> RunBody:
        """Show one training run."""
        async with database.session() as session:
            row = await repository.get_run(session, run_id)
        if row is None:
            raise _no_run(run_id)
        return run_body(row)

    @routes.post("/{run_id}/cancellation")
    async def cancel_run(run_id: Name, _: Operator) -> RunBody:
        """Cancel a run that is queued or running; its model, if any, is not kept."""
        async with database.transaction() as session:
            if await repository.get_run(session, run_id) is None:
                raise _no_run(run_id)
            cancelled = await repository.move_run(session, run_id, "cancelled")
            row = await repository.get_run(session, run_id)
        if not cancelled or row is None:
            raise Problem(409, "run-ended", "The run has ended already; there is nothing to cancel.")
        return run_body(row)

    return routes


def _no_model(version: str) -> Problem:
    return Problem(404, "model-unknown", f"There is no model {version[:64]!r}. GET /models lists them.")


def _no_run(run_id: str) -> Problem:
    return Problem(
        404, "run-unknown", f"There is no training run {run_id[:64]!r}. GET /training-runs lists them."
    )
