"""HTTP: models and training runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as PathParam

from laundry_reading.manifest import Manifest
from laundry_service.audit.acts import Act, Actor, Reason
from laundry_service.audit.writing import write as write_act
from laundry_service.auth import Principal, require
from laundry_service.database import Database
from laundry_service.objectstore import ObjectStoreUnavailable
from laundry_service.problems import Problem
from laundry_service.streams import EVENT_STREAM, Changes, EventStream
from mlops import repository
from mlops.full.requirements import Needs, say
from mlops.schemas import (
    LogLine,
    LogPage,
    ModelBody,
    ModelPage,
    NewRun,
    Override,
    PromotionBody,
    PromotionPage,
    RunBody,
    RunPage,
    model_body,
    run_body,
)
from mlops.service.registry import (
    AlreadyChampion,
    BrokenModel,
    NoFormerModel,
    NoSuchModel,
    NotGoodEnough,
    Registry,
)

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

    @routes.get("/promotions")
    async def list_promotions(_: Operator, limit: Limit = 50) -> PromotionPage:
        """List who made which model the champion, newest first, overrides with their reasons."""
        async with database.session() as session:
            rows = await repository.list_promotions(session, limit=limit)
        return PromotionPage(items=[PromotionBody.model_validate(dict(row)) for row in rows])

    @routes.post("/rollback", responses={202: {"description": "Decided, not announced yet"}})
    async def roll_back(operator: Operator, response: Response, reason: Reason = None) -> ModelBody:
        """Make the model champion that was it before the present one; again goes back one more."""
        with _refusals(""):
            row = await registry.roll_back(promoted_by=operator.sub, reason=reason)
        await _announce(registry, row["version"], response)
        return model_body(row)

    @routes.get("/{version}")
    async def get_model(version: Name, _: Reader) -> ModelBody:
        """Show one model."""
        async with database.session() as session:
            row = await repository.get_model(session, version)
        if row is None:
            raise _no_model(version)
        return model_body(row)

    @routes.post("/{version}/promotion", responses={202: {"description": "Decided, not announced yet"}})
    async def promote(
        version: Name, operator: Operator, response: Response, override: Override | None = None
    ) -> ModelBody:
        """Make a model the champion.

        One that judging did not find good, or that was never judged against this champion, needs an
        ``override_reason``, which is kept with the operator's name.
        """
        with _refusals(version):
            row = await registry.promote(
                version,
                promoted_by=operator.sub,
                override_reason=override.override_reason if override else None,
            )
        await _announce(registry, version, response)
        return model_body(row)

    return routes


@contextmanager
def _refusals(version: str) -> Iterator[None]:
    """Turn why a model is not promoted into problem documents."""
    try:
        yield
    except NoSuchModel as error:
        raise _no_model(version) from error
    except AlreadyChampion as error:
        raise Problem(
            409, "already-champion", f"{version} is the champion already; nothing has changed."
        ) from error
    except NotGoodEnough as error:
        raise Problem(
            409,
            "model-not-good-enough",
            f"{error} To promote it all the same send an `override_reason`; it is kept with your name.",
        ) from error
    except NoFormerModel as error:
        raise Problem(
            409, "no-former-model", "No other model was champion before this one; nothing has changed."
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


async def _announce(registry: Registry, version: str, response: Response) -> None:
    try:
        await registry.announce()
    except ObjectStoreUnavailable as error:
        # The decision is committed; the keeper announces it as soon as the store is back.
        log.warning("a promotion waits to be announced", version=version, error=str(error))
        response.status_code = 202


def runs_router(database: Database, changes: Changes, needs: Needs) -> APIRouter:
    """Make the endpoints of the training runs."""
    routes = APIRouter(prefix="/training-runs", tags=["training runs"])

    @routes.post("", status_code=201)
    async def start_run(
        wanted: NewRun, operator: Operator, response: Response, reason: Reason = None
    ) -> RunBody:
        """Queue a training run; runs go one after another."""
        if wanted.kind == "full":
            await _refuse_what_cannot_run(database, needs)
        async with database.transaction() as session:
            row = await repository.add_run(session, wanted.kind, requested_by=operator.sub)
            started = Act(
                "training-run.start", row["id"], Actor.of(operator), reason, details={"kind": wanted.kind}
            )
            await write_act(session, started)
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

    @routes.get("/stream", response_class=EventStream, responses=EVENT_STREAM)
    async def follow_runs(operator: Operator, request: Request) -> EventStream:
        """Follow training runs: `ready` at once, then `training-run` with the whole run at each change."""
        return EventStream(request.app.state.streams, changes, operator, topics=None)

    @routes.get("/{run_id}")
    async def get_run(run_id: Name, _: Operator) -> RunBody:
        """Show one training run."""
        async with database.session() as session:
            row = await repository.get_run(session, run_id)
        if row is None:
            raise _no_run(run_id)
        return run_body(row)

    @routes.get("/{run_id}/log")
    async def get_log(run_id: Name, _: Operator) -> LogPage:
        """Show what a run said of itself, the last 500 lines."""
        async with database.session() as session:
            if await repository.get_run(session, run_id) is None:
                raise _no_run(run_id)
            rows = await repository.run_log(session, run_id)
        return LogPage(items=[LogLine.model_validate(dict(row)) for row in rows])

    @routes.post("/{run_id}/cancellation")
    async def cancel_run(run_id: Name, operator: Operator, reason: Reason = None) -> RunBody:
        """Cancel a run that is queued or running; its model, if any, is not kept."""
        async with database.transaction() as session:
            if await repository.get_run(session, run_id) is None:
                raise _no_run(run_id)
            cancelled = await repository.move_run(session, run_id, "cancelled")
            row = await repository.get_run(session, run_id)
            if cancelled:
                await write_act(session, Act("training-run.cancel", run_id, Actor.of(operator), reason))
        if not cancelled or row is None:
            raise Problem(409, "run-ended", "The run has ended already; there is nothing to cancel.")
        return run_body(row)

    return routes


async def _refuse_what_cannot_run(database: Database, needs: Needs) -> None:
    async with database.session() as session:
        root = await repository.get_root(session)
    if root is None:
        raise Problem(
            409, "training-unavailable", "There is no champion to train on. Register a model first."
        )
    lacking = await needs.lacking(Manifest.model_validate(root["manifest"]))
    if lacking:
        raise Problem(409, "training-unavailable", say(lacking))


def _no_model(version: str) -> Problem:
    return Problem(404, "model-unknown", f"There is no model {version[:64]!r}. GET /models lists them.")


def _no_run(run_id: str) -> Problem:
    return Problem(
        404, "run-unknown", f"There is no training run {run_id[:64]!r}. GET /training-runs lists them."
    )
