"""HTTP: the models, and which of them is the champion."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from fastapi import APIRouter, Response

from laundry_service.audit.http import Reason
from laundry_service.http.cursors import page_of
from laundry_service.http.problems import Problem
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStoreUnavailable
from mlops import repository
from mlops.api.parameters import Cursor, Limit, Name, Operator, Reader
from mlops.models import BrokenModel
from mlops.schemas import ModelBody, ModelPage, Override, PromotionPage, model_body, promotion_body
from mlops.service.registry import (
    AlreadyChampion,
    NoFormerModel,
    NoSuchModel,
    NotGoodEnough,
    Registry,
)

log = structlog.get_logger(__name__)


def models_router(database: Database, registry: Registry) -> APIRouter:
    """Make the endpoints of the models."""
    routes = APIRouter(prefix="/models", tags=["models"])

    @routes.get("")
    async def list_models(_: Reader, limit: Limit = 50, cursor: Cursor = None) -> ModelPage:
        """List models, newest first; one of them is the champion that reads photos."""
        async with database.session() as session:
            models = await repository.list_models(session, limit=limit + 1, before=cursor)
        shown, last = page_of(models, limit)
        return ModelPage(
            items=[model_body(model) for model in shown],
            next_cursor=None if last is None else last.id,
        )

    @routes.get("/promotions")
    async def list_promotions(_: Operator, limit: Limit = 50) -> PromotionPage:
        """List who made which model the champion, newest first, overrides with their reasons."""
        async with database.session() as session:
            promotions = await repository.list_promotions(session, limit=limit)
        return PromotionPage(items=[promotion_body(promotion) for promotion in promotions])

    @routes.post("/rollback", responses={202: {"description": "Decided, not announced yet"}})
    async def roll_back(operator: Operator, response: Response, reason: Reason = None) -> ModelBody:
        """Make the previous champion the champion again; repeated calls go back one more each."""
        with _refusals(""):
            model = await registry.roll_back(promoted_by=operator.sub, reason=reason)
        await _announce(registry, model.version, response)
        return model_body(model)

    @routes.get("/{version}")
    async def get_model(version: Name, _: Reader) -> ModelBody:
        """Show one model with its metrics, lineage and verdict."""
        async with database.session() as session:
            model = await repository.get_model(session, version)
        if model is None:
            raise no_model(version)
        return model_body(model)

    @routes.post("/{version}/promotion", responses={202: {"description": "Decided, not announced yet"}})
    async def promote(
        version: Name, operator: Operator, response: Response, override: Override | None = None
    ) -> ModelBody:
        """Make a model the champion.

        One that judging did not find good, or that was never judged against this champion, needs an
        ``override_reason``, which is kept with the operator's name.
        """
        with _refusals(version):
            model = await registry.promote(
                version,
                promoted_by=operator.sub,
                override_reason=override.override_reason if override else None,
            )
        await _announce(registry, version, response)
        return model_body(model)

    return routes


@contextmanager
def _refusals(version: str) -> Iterator[None]:
    """Turn refused promotions into problem documents."""
    try:
        yield
    except NoSuchModel as error:
        raise no_model(version) from error
    except AlreadyChampion as error:
        raise Problem(
            409, "already-champion", f"{error} is the champion already; nothing has changed."
        ) from error
    except NotGoodEnough as error:
        raise Problem(
            409,
            "model-not-good-enough",
            f"{error} To promote it anyway, send an `override_reason`; it is recorded with your name.",
        ) from error
    except NoFormerModel as error:
        raise Problem(
            409, "no-former-model", "No other model was champion before this one; nothing has changed."
        ) from error
    except BrokenModel as error:
        raise Problem(
            409, "model-broken", f"{error} It is not promoted. Train or register the model again."
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
        # The decision is committed; the reconciler announces it as soon as the store is back.
        log.warning("a promotion waits to be announced", version=version, error=str(error))
        response.status_code = 202


def no_model(version: str) -> Problem:
    """Say that there is no model of this version."""
    return Problem(404, "model-unknown", f"There is no model {version[:64]!r}. GET /models lists them.")
