"""The model registry, and which model is the champion.

The database says who the champion is; the signed manifest in the object store tells the replicas. A
promotion is first committed here as pending, then its manifest is written, and only then the event leaves
through the outbox: whoever receives the event finds the manifest. A crash in between leaves the promotion
pending, and announcing again has no second effect.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import Outbox
from laundry_events.events import ModelPromoted
from laundry_reading.manifest import Manifest
from laundry_reading.signing import TooLarge
from laundry_reading.storage import MAX_MODEL_BYTES, manifest_key, model_key
from laundry_service.audit.acts import Act, Actor
from laundry_service.audit.writing import write as write_act
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectMissing, ObjectStore
from mlops import repository
from mlops.manifests import Manifests
from mlops.models import BrokenModel, PendingPromotion, RegisteredModel, why_not_promoted
from mlops.service.shipped import read_shipped, same_file

BY_A_PERSON = frozenset({"person", "rollback"})

log = structlog.get_logger(__name__)


class NoSuchModel(Exception):
    """There is no model of this version."""


class AlreadyChampion(Exception):
    """The model is the champion already."""


class NotGoodEnough(Exception):
    """Judging did not find the model good enough to replace the champion; the text says why."""


class NoFormerModel(Exception):
    """There is no earlier champion to roll back to."""


class Registry:
    """Registers models, promotes them and announces promotions."""

    def __init__(self, database: Database, store: ObjectStore, outbox: Outbox, manifests: Manifests) -> None:
        """Take the database of the models, the store of their files and who signs their manifests."""
        self._database = database
        self._store = store
        self._outbox = outbox
        self._manifests = manifests

    async def register_shipped(self, folder: Path) -> None:
        """Register the model that ships with the code, as champion if there is none.

        Raises:
            BrokenModel: the folder holds no whole model.
            ObjectStoreUnavailable: try again later.
        """
        manifest, file, beside = await asyncio.to_thread(read_shipped, folder)
        async with self._database.session() as session:
            same_file(await repository.get_model(session, manifest.version), manifest)
        await self.upload(manifest, file, beside=beside)
        async with self._database.transaction() as session:
            await repository.lock_promotions(session)
            if await repository.add_model(session, manifest, source="shipped"):
                log.info("the shipped model is registered", version=manifest.version)
            else:
                await repository.refresh_manifest(session, manifest)
            same_file(await repository.get_model(session, manifest.version), manifest)
            if await repository.get_champion(session) is None:
                await repository.make_champion(
                    session,
                    manifest.version,
                    kind="shipped",
                    promoted_by="shipped",
                    promoted_at=datetime.now(UTC),
                )

    async def upload(
        self, manifest: Manifest, file: bytes, *, beside: Mapping[str, bytes] | None = None
    ) -> None:
        """Store a model's file, what belongs beside it (by key) and then its signed manifest, unless they are
        there.

        Raises:
            BrokenModel: another model of this version is stored, or the manifest is too large.
            ObjectStoreUnavailable: try again later.
        """
        self._check_size(manifest)
        if await self._manifests.has(manifest):
            return
        # The manifest is written last: without one, the file may be missing or truncated.
        stored = await self._manifests.stored(manifest.version)
        if stored is not None and stored.sha256 != manifest.sha256:
            raise BrokenModel(f"Another model of the version {manifest.version} is stored already.")
        await self._store.put(model_key(manifest), file, media_type="application/octet-stream")
        for beside_key, content in (beside or {}).items():
            await self._store.put(beside_key, content, media_type="application/octet-stream")
        await self._manifests.keep(manifest)

    async def fetch(self, manifest: Manifest) -> bytes:
        """Fetch a model's file and check its hash.

        Raises:
            BrokenModel: it is missing or not what the manifest says.
            ObjectStoreUnavailable: try again later.
        """
        try:
            file = await self._store.get(model_key(manifest), max_bytes=MAX_MODEL_BYTES)
        except (ObjectMissing, ValueError) as error:
            raise BrokenModel(f"The file of {manifest.version} cannot be used: {error}") from error
        found = await asyncio.to_thread(lambda: hashlib.sha256(file).hexdigest())
        if found != manifest.sha256:
            raise BrokenModel(f"The file of {manifest.version} has sha256 {found}, not {manifest.sha256}.")
        return file

    async def promote(
        self, version: str, *, promoted_by: str, override_reason: str | None = None
    ) -> RegisteredModel:
        """Make a model the champion; ``announce`` tells the replicas.

        Only a model that was judged good against this very champion, or that served before, may be promoted
        without ``override_reason``, which is kept with the name of who gave it.

        Raises:
            NoSuchModel, AlreadyChampion, NotGoodEnough, BrokenModel: nothing has changed.
            ObjectStoreUnavailable: nothing has changed; try again later.
        """
        async with self._database.session() as session:
            model = await repository.get_model(session, version)
        if model is None:
            raise NoSuchModel(version)
        self._check_size(model.manifest)
        await self.fetch(model.manifest)
        async with self._database.transaction() as session:
            await repository.lock_promotions(session)
            champion = await repository.get_champion(session)
            if champion is not None and champion.version == version:
                raise AlreadyChampion(version)
            why_not = None
            if champion is not None and not await repository.served_before(session, version):
                why_not = why_not_promoted(model, champion)
            if why_not is not None and override_reason is None:
                raise NotGoodEnough(why_not)
            await repository.make_champion(
                session,
                version,
                kind="person",
                promoted_by=promoted_by,
                promoted_at=datetime.now(UTC),
                override_reason=override_reason if why_not is not None else None,
            )
            promoted = await repository.get_model(session, version)
            details = {"previous": champion.version if champion else None, "against_the_verdict": why_not}
            who = Actor(promoted_by, "operator")
            await write_act(session, Act("model.promote", version, who, override_reason, details=details))
        log.info("a model is promoted", version=version, overridden=why_not)
        return promoted or model

    async def roll_back(self, *, promoted_by: str, reason: str | None = None) -> RegisteredModel:
        """Make the model champion that was it before the present one; ``announce`` tells the replicas.

        Raises:
            NoFormerModel, AlreadyChampion, BrokenModel: nothing has changed.
            ObjectStoreUnavailable: nothing has changed; try again later.
        """
        async with self._database.session() as session:
            former = await repository.former_champion(session)
        if former is None:
            raise NoFormerModel
        self._check_size(former.manifest)
        await self.fetch(former.manifest)
        async with self._database.transaction() as session:
            await repository.lock_promotions(session)
            champion = await repository.get_champion(session)
            if champion is not None and champion.version == former.version:
                # Somebody else went back to it meanwhile.
                raise AlreadyChampion(former.version)
            same = await repository.former_champion(session)
            if same is None or same.version != former.version:
                raise NoFormerModel
            await repository.make_champion(
                session,
                former.version,
                kind="rollback",
                promoted_by=promoted_by,
                promoted_at=datetime.now(UTC),
            )
            promoted = await repository.get_model(session, former.version)
            who = Actor(promoted_by, "operator")
            await write_act(session, Act("model.rollback", former.version, who, reason))
        log.info("rolled back to a model", version=former.version)
        return promoted or former

    async def announce(self) -> int:
        """Write the champion's manifest and publish the events of pending promotions.

        Returns:
            how many promotions were announced.

        Raises:
            ObjectStoreUnavailable: they stay pending.
        """
        async with self._database.transaction() as session:
            if not await repository.pending_promotions(session):
                return 0
            await repository.lock_promotions(session)
            pending = await repository.pending_promotions(session)
            champion = await repository.get_champion(session)
            if not pending or champion is None:
                return 0
            try:
                await self._manifests.tell_champion(champion.manifest)
            except TooLarge as error:
                # Registered before this was refused; it is told of once another takes its place.
                log.error("no replica would read the champion's manifest", why=str(error))  # noqa: TRY400
                return 0
            for promotion in pending:
                await self._tell(session, promotion)
            await repository.mark_announced(session, [promotion.id for promotion in pending])
        log.info("promotions are announced", champion=champion.version, count=len(pending))
        return len(pending)

    async def repair(self) -> None:
        """Announce the champion again if the manifest in the store is not the champion's, signed by our key.

        Raises:
            ObjectStoreUnavailable: try again later.
        """
        async with self._database.session() as session:
            champion = await repository.get_champion(session)
        if champion is None or await self._is_told(champion):
            return
        async with self._database.transaction() as session:
            await repository.lock_promotions(session)
            # A promotion that waits for its announcement writes the manifest anyway.
            if await repository.pending_promotions(session):
                return
            champion = await repository.get_champion(session)
            if champion is not None and not await self._is_told(champion):
                log.warning("the champion's manifest is mended", champion=champion.version)
                await repository.announce_again(session)

    async def _is_told(self, champion: RegisteredModel) -> bool:
        return await self._manifests.has_champion(champion.manifest)

    async def sign(self, model: RegisteredModel) -> bool:
        """Write a model's manifest again unless it is right and signed by our key; returns whether it did.

        It may predate signatures, be signed by a former key, be lost or changed.

        Raises:
            ObjectStoreUnavailable: try again later.
        """
        if await self._manifests.has(model.manifest):
            return False
        try:
            await self._manifests.keep(model.manifest)
        except TooLarge as error:
            log.warning("a manifest is not signed", version=model.version, why=str(error))
            return False
        return True

    def _check_size(self, manifest: Manifest) -> None:
        try:
            self._manifests.check_size(manifest)
        except TooLarge as error:
            raise BrokenModel(str(error)) from error

    async def _tell(self, session: AsyncSession, promotion: PendingPromotion) -> None:
        await self._outbox.add(
            session,
            ModelPromoted(
                model_version=promotion.version,
                manifest_key=manifest_key(promotion.version),
                sha256=promotion.sha256,
                previous_version=promotion.previous_version,
                # A stream drops whole segments, and may keep a name for years; the audit has it.
                promoted_by="operator" if promotion.kind in BY_A_PERSON else promotion.promoted_by,
                promoted_at=promotion.promoted_at,
            ),
        )
