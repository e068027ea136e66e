"""HTTP: start, cancel and follow training runs."""

from fastapi import APIRouter, Request, Response

from laundry_service.audit.acts import Actor
from laundry_service.audit.http import Reason
from laundry_service.http.cursors import page_of
from laundry_service.http.problems import Problem
from laundry_service.storage.database import Database
from laundry_service.streams.changes import Changes
from laundry_service.streams.response import EVENT_STREAM, EventStream
from mlops import repository
from mlops.api.parameters import Cursor, Limit, Name, Operator
from mlops.schemas import LogPage, NewRun, RunBody, RunPage, run_body
from mlops.service.runs import NoSuchRun, RunEnded, Runs, TrainingUnavailable


def runs_router(database: Database, changes: Changes, runs: Runs) -> APIRouter:
    """Make the endpoints of the training runs."""
    routes = APIRouter(prefix="/training-runs", tags=["training runs"])

    @routes.post("", status_code=201)
    async def start_run(
        wanted: NewRun, operator: Operator, response: Response, reason: Reason = None
    ) -> RunBody:
        """Queue a training run; runs go one after another."""
        try:
            run = await runs.start(wanted.kind, Actor.of(operator), reason)
        except TrainingUnavailable as error:
            raise Problem(409, "training-unavailable", str(error)) from error
        response.headers["Location"] = f"/training-runs/{run.id}"
        return run_body(run)

    @routes.get("")
    async def list_runs(_: Operator, limit: Limit = 50, cursor: Cursor = None) -> RunPage:
        """List training runs, newest first."""
        async with database.session() as session:
            found = await repository.list_runs(session, limit=limit + 1, before=cursor)
        shown, last = page_of(found, limit)
        return RunPage(
            items=[run_body(run) for run in shown],
            next_cursor=None if last is None else last.id,
        )

    @routes.get("/stream", response_class=EventStream, responses=EVENT_STREAM)
    async def follow_runs(operator: Operator, request: Request) -> EventStream:
        """Follow training runs: `ready` at once, then `training-run` with the whole run at each change."""
        return EventStream(request.app.state.streams, changes, operator, topics=None)

    @routes.get("/{run_id}")
    async def get_run(run_id: Name, _: Operator) -> RunBody:
        """Show one training run."""
        async with database.session() as session:
            run = await repository.get_run(session, run_id)
        if run is None:
            raise _no_run(run_id)
        return run_body(run)

    @routes.get("/{run_id}/log")
    async def get_log(run_id: Name, _: Operator) -> LogPage:
        """Show a run's log, the last 500 lines."""
        async with database.session() as session:
            if await repository.get_run(session, run_id) is None:
                raise _no_run(run_id)
            return LogPage(items=await repository.run_log(session, run_id))

    @routes.post("/{run_id}/cancellation")
    async def cancel_run(run_id: Name, operator: Operator, reason: Reason = None) -> RunBody:
        """Cancel a run that is queued or running; its model, if any, is not kept."""
        try:
            return run_body(await runs.cancel(run_id, Actor.of(operator), reason))
        except NoSuchRun as error:
            raise _no_run(run_id) from error
        except RunEnded as error:
            raise Problem(
                409, "run-ended", "The run has already ended; there is nothing to cancel."
            ) from error

    return routes


def _no_run(run_id: str) -> Problem:
    return Problem(
        404, "run-unknown", f"There is no training run {run_id[:64]!r}. GET /training-runs lists them."
    )
