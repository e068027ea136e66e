"""HTTP: what each replica serves, and the model that reads alongside."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi import Path as PathParam
from pydantic import BaseModel, Field

from laundry_reading.manifest import Manifest
from laundry_reading.replicas import Refused, Shadow, Shadowed
from laundry_service.audit.acts import Act, Actor, Reason
from laundry_service.audit.writing import write as write_act
from laundry_service.auth import Principal, require
from laundry_service.database import Database
from laundry_service.objectstore import ObjectStoreUnavailable
from laundry_service.problems import Problem
from laundry_service.request_text import RequestBody
from mlops import repository
from mlops.replicas import Replicas
from mlops.service.registry import BrokenModel, Registry

Operator = Annotated[Principal, Depends(require("operator"))]
Name = Annotated[str, PathParam(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class ReplicaBody(BaseModel):
    """A replica that was seen lately. ``in_step``: it serves the champion."""

    replica: str
    version: str | None
    sha256: str | None
    since: datetime | None
    seen_at: datetime
    in_step: bool
    refused: Refused | None
    shadow: Shadowed | None


class ReplicaPage(BaseModel):
    """Replicas by name; ``champion`` is what each should serve, ``shadow`` what may read alongside."""

    items: list[ReplicaBody]
    champion: str | None
    shadow: Shadow | None
    next_cursor: str | None = None


class WantedShadow(RequestBody):
    """Of which share of the photos the model reads alongside."""

    share: float = Field(default=0.1, gt=0, le=1)


def replicas_router(database: Database, registry: Registry, replicas: Replicas) -> APIRouter:
    """Make the endpoints; they come before ``/models/{version}``."""
    routes = APIRouter(prefix="/models", tags=["models"])

    @routes.get("/replicas")
    async def list_replicas(_: Operator) -> ReplicaPage:
        """List what each replica serves, as it said within the last 45 seconds.

        A replica says so at once when it takes another model, else every ten seconds.
        """
        with _store():
            seen, shadow = await replicas.seen(), await replicas.shadow()
        async with database.session() as session:
            champion = await repository.get_champion(session)
        sha256 = champion["sha256"] if champion else None
        return ReplicaPage(
            items=[
                ReplicaBody(
                    **dict(serving),
                    seen_at=seen_at,
                    in_step=serving.sha256 is not None and serving.sha256 == sha256,
                )
                for serving, seen_at in seen
            ],
            champion=champion["version"] if champion else None,
            shadow=shadow,
        )

    @routes.put("/{version}/shadow")
    async def set_shadow(
        version: Name, wanted: WantedShadow, operator: Operator, reason: Reason = None
    ) -> Shadow:
        """Let a model read a share of the photos alongside the champion, instead of any that did before.

        Nobody is shown what it says; replicas count how often its first guess is the champion's
        (``laundry_shadow_readings_total``, ``GET /models/replicas``).
        """
        async with database.session() as session:
            model = await repository.get_model(session, version)
        if model is None:
            raise Problem(404, "model-unknown", f"There is no model {version!r}. GET /models lists them.")
        if model["champion"]:
            raise Problem(
                409, "already-champion", f"{version} is the champion: it reads every photo already."
            )
        shadow = Shadow(version=version, share=wanted.share)
        with _store():
            try:
                await registry.fetch(Manifest.model_validate(model["manifest"]))
                await registry.sign(model)
            except BrokenModel as error:
                raise Problem(409, "model-broken", f"{error} It reads nothing.") from error
            asked = Act("shadow.begin", version, Actor.of(operator), reason, details={"share": wanted.share})
            await change_with_audit(database, asked, partial(replicas.set_shadow, shadow))
        return shadow

    @routes.delete("/shadow", status_code=204)
    async def end_shadow(operator: Operator, reason: Reason = None) -> Response:
        """Let no model read alongside any more."""
        with _store():
            shadow = await replicas.shadow()
            asked = Act("shadow.end", shadow.version if shadow else "none", Actor.of(operator), reason)
            await change_with_audit(database, asked, partial(replicas.set_shadow, None))
        return Response(status_code=204)

    return routes


async def change_with_audit(database: Database, asked: Act, change: Callable[[], Awaitable[None]]) -> None:
    """Change what lies in the object store, which no transaction covers: the audit first has what is asked.

    A record that nothing follows is of a change whose end is not known; one that failed has a second one.
    """
    async with database.transaction() as session:
        await write_act(session, replace(asked, outcome="asked"))
    try:
        await change()
    except ObjectStoreUnavailable:
        async with database.transaction() as session:
            await write_act(session, replace(asked, outcome="failed"))
        raise
    async with database.transaction() as session:
        await write_act(session, asked)


@contextmanager
def _store() -> Iterator[None]:
    try:
        yield
    except ObjectStoreUnavailable as error:
        raise Problem(
            503,
            "object-store-unavailable",
            "The object store cannot be reached; try again shortly.",
            headers={"Retry-After": "5"},
        ) from error
