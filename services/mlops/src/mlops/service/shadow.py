"""The model that reads a share of the photos alongside the champion, which a person begins and ends."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from laundry_reading.replicas import Shadow
from laundry_service.audit.acts import Act, Actor
from laundry_service.audit.writing import write as write_act
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStoreUnavailable
from mlops import repository
from mlops.replicas import Replicas
from mlops.service.registry import AlreadyChampion, NoSuchModel, Registry


class Shadowing:
    """Begins and ends shadow reading."""

    def __init__(self, database: Database, registry: Registry, replicas: Replicas) -> None:
        """Take the models, and where replicas look for what to read with."""
        self._database = database
        self._registry = registry
        self._replicas = replicas

    async def begin(self, version: str, share: float, by: Actor, reason: str | None) -> Shadow:
        """Let a model read a share (0..1] of the photos alongside, instead of any that did before.

        Raises:
            NoSuchModel, AlreadyChampion, BrokenModel: nothing has changed.
            ObjectStoreUnavailable: it is not known whether anything has changed.
        """
        async with self._database.session() as session:
            model = await repository.get_model(session, version)
        if model is None:
            raise NoSuchModel(version)
        if model.champion:
            raise AlreadyChampion(version)
        await self._registry.fetch(model.manifest)
        await self._registry.sign(model)
        shadow = Shadow(version=version, share=share)
        act = Act("shadow.begin", version, by, reason, details={"share": share})
        await change_with_audit(self._database, act, partial(self._replicas.set_shadow, shadow))
        return shadow

    async def end(self, by: Actor, reason: str | None) -> None:
        """End the shadow.

        Raises:
            ObjectStoreUnavailable: it is not known whether anything has changed.
        """
        shadow = await self._replicas.shadow()
        act = Act("shadow.end", shadow.version if shadow else "none", by, reason)
        await change_with_audit(self._database, act, partial(self._replicas.set_shadow, None))


async def change_with_audit(database: Database, asked: Act, change: Callable[[], Awaitable[None]]) -> None:
    """Change an object that no transaction covers: the audit records the request first.

    A request without a following record has an unknown outcome; a failure gets a second record.
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
