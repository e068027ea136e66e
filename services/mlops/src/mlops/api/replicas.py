"""HTTP: what each replica serves, and the model that reads alongside."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter, Response

from laundry_reading.replicas import Shadow
from laundry_service.audit.acts import Actor
from laundry_service.audit.http import Reason
from laundry_service.http.problems import Problem
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStoreUnavailable
from mlops import repository
from mlops.api.models import no_model
from mlops.api.parameters import Name, Operator
from mlops.models import BrokenModel
from mlops.replicas import Replicas
from mlops.schemas import ReplicaBody, ReplicaPage, WantedShadow
from mlops.service.registry import AlreadyChampion, NoSuchModel
from mlops.service.shadow import Shadowing


def replicas_router(database: Database, replicas: Replicas, shadowing: Shadowing) -> APIRouter:
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
        sha256 = champion.sha256 if champion else None
        return ReplicaPage(
            items=[
                ReplicaBody(
                    **dict(serving),
                    seen_at=seen_at,
                    in_step=serving.sha256 is not None and serving.sha256 == sha256,
                )
                for serving, seen_at in seen
            ],
            champion=champion.version if champion else None,
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
        with _store():
            try:
                return await shadowing.begin(version, wanted.share, Actor.of(operator), reason)
            except NoSuchModel as error:
                raise no_model(version) from error
            except AlreadyChampion as error:
                raise Problem(
                    409, "already-champion", f"{version} is the champion: it reads every photo already."
                ) from error
            except BrokenModel as error:
                raise Problem(409, "model-broken", f"{error} It reads nothing.") from error

    @routes.delete("/shadow", status_code=204)
    async def end_shadow(operator: Operator, reason: Reason = None) -> Response:
        """Stop reading photos with the shadow model."""
        with _store():
            await shadowing.end(Actor.of(operator), reason)
        return Response(status_code=204)

    return routes


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
