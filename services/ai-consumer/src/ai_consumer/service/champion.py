"""Keeps the served model equal to the champion, swapping it between two readings."""

import asyncio
import contextlib
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from prometheus_client import Counter, Gauge
from pydantic import ValidationError

from laundry_events import RequeueMessage
from laundry_reading.manifest import Manifest
from laundry_reading.model import Model, ModelError
from laundry_reading.signing import NotTrusted, TrustedKeys
from laundry_reading.storage import CHAMPION_KEY, MAX_MANIFEST_BYTES, MAX_MODEL_BYTES, model_key
from laundry_service.background.task import BackgroundTask
from laundry_service.storage.object_store import ObjectMissing, ObjectStore, ObjectStoreUnavailable

SERVED = Gauge("laundry_model_served", "1 for the model version that this replica serves", ["version"])
SWAPS = Counter("laundry_model_swaps", "Times that another model was taken into service")
REFUSED = Counter("laundry_model_refused", "Champions that were not taken: not signed by us, or broken")
REFUSING = Gauge("laundry_model_refusing", "1 while this replica refuses the champion, else 0")

RETRY_S = 2.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Served:
    """A model in service."""

    model: Model
    manifest: Manifest
    since: datetime


@dataclass(frozen=True)
class Refusal:
    """A champion that was refused, and why."""

    version: str
    why: str


class NoModelYet(RequeueMessage):
    """This replica has no model; another may have one."""


class Champion:
    """The served model. The object store's manifest is the truth; events only trigger a check.

    It is also checked every ``poll_s``: an event missed while disconnected does not come again.
    A champion that none of our keys signed, or whose files are broken, is refused and the model in service
    goes on. One whose file is whole and yet of no use here is fetched once. The model that ships with the
    code is trusted as the code is.
    """

    def __init__(self, store: ObjectStore, trusted: TrustedKeys, model_dir: Path, *, poll_s: float) -> None:
        """Follow the champion in ``store`` if its signature is ``trusted``; start with the shipped model."""
        self._store = store
        self._trusted = trusted
        self._model_dir = model_dir
        self._served: Served | None = None
        self._refused: Refusal | None = None
        self._unusable: tuple[Manifest, str] | None = None
        self._loaded = asyncio.Event()
        self._looked = asyncio.Event()
        self._following = BackgroundTask(
            "champion",
            self._follow,
            every_s=poll_s,
            retry_s=min(RETRY_S, poll_s),
            expected=(ObjectStoreUnavailable,),
            waiting="cannot look for the champion",
            failed="looking for the champion failed",
        )

    async def start(self) -> None:
        """Load the shipped model, then look for the champion in the background."""
        log.info("models must be signed", trusted=self._trusted.ids)
        await self._load_shipped()
        await self._following.start()

    async def stop(self) -> None:
        """Stop following; the served model stays in service."""
        await self._following.stop()

    @property
    def served(self) -> Served | None:
        """The model in service, if any."""
        return self._served

    @property
    def refused(self) -> Refusal | None:
        """The champion that is refused, if it is."""
        return self._refused

    async def current(self, *, timeout_s: float = 10.0) -> Model:
        """The model to read the next photo with.

        The first caller waits until the champion was looked for once, so that a replica that starts does
        not begin with an older model.

        Raises:
            NoModelYet: there is none.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._looked.wait()
        if self._served is None:
            raise NoModelYet("this replica has no model yet")
        return self._served.model

    async def loaded(self) -> None:
        """Wait until there is a model; from then on there always is one."""
        if self._served is None:
            log.error("this replica has no model, so it takes no photos", folder=str(self._model_dir))
        await self._loaded.wait()

    def look_again(self) -> None:
        """Look for a new champion now."""
        self._following.wake()

    async def ready(self) -> bool:
        """Whether a model is in service and the champion was looked for."""
        return self._served is not None and self._looked.is_set()

    async def _load_shipped(self) -> None:
        try:
            manifest = Manifest.from_json(
                await asyncio.to_thread((self._model_dir / "manifest.json").read_bytes)
            )
            model = await asyncio.to_thread(
                Model.load, self._model_dir / manifest.file, sha256=manifest.sha256
            )
        except (OSError, ValidationError, ModelError) as error:
            log.warning("the shipped model cannot be used", folder=str(self._model_dir), error=str(error))
            return
        self._serve(model, manifest)

    async def _follow(self) -> None:
        await self._look()
        self._looked.set()

    async def _look(self) -> None:
        try:
            text = await self._store.get(CHAMPION_KEY, max_bytes=MAX_MANIFEST_BYTES)
        except ObjectMissing:
            return
        except ValueError as error:
            self._refuse("unknown", str(error))
            return
        try:
            manifest = self._trusted.open(text, "champion")
        except NotTrusted as error:
            self._refuse(error.version, str(error))
            return
        if self._served is not None and self._served.manifest.sha256 == manifest.sha256:
            self._accept()
        elif self._unusable is not None and self._unusable[0] == manifest:
            self._refuse(manifest.version, self._unusable[1])
        else:
            await self._take(manifest)

    async def _take(self, manifest: Manifest) -> None:
        try:
            file = await self._store.get(model_key(manifest), max_bytes=MAX_MODEL_BYTES)
            await asyncio.to_thread(_check_hash, file, manifest.sha256)
        except (ObjectMissing, ValueError, ModelError) as error:
            # The right file may come yet.
            self._refuse(manifest.version, f"{type(error).__name__}: {error}")
            return
        try:
            model = await asyncio.to_thread(Model.load, file)
            why = self._unlike(model, manifest)
        except ModelError as error:
            why = f"{type(error).__name__}: {error}"
        if why is not None:
            # Up to 64 MB at every look, and to load them, would bring the same again.
            self._unusable = (manifest, why)
            self._refuse(manifest.version, why)
            return
        self._accept()
        self._serve(model, manifest)

    def _unlike(self, model: Model, manifest: Manifest) -> str | None:
        """Say why an intact file is not a usable model here, or None."""
        if model.version != manifest.version:
            return f"its file says that it is {model.version}"
        if list(model.labels) != manifest.labels or model.input_size != manifest.input_size:
            return "its file has other classes or another input size than its manifest says"
        if self._served is not None and set(model.labels) != set(self._served.model.labels):
            # People confirm these and the helper service knows them: a release changes them, not a swap.
            return "it has other classes than the model in service"
        return None

    def _accept(self) -> None:
        self._refused = self._unusable = None
        REFUSING.set(0)

    def _refuse(self, version: str, why: str) -> None:
        REFUSING.set(1)
        if self._refused == Refusal(version, why):
            return
        self._refused = Refusal(version, why)
        REFUSED.inc()
        still = self._served.manifest.version if self._served is not None else None
        log.error(
            "a champion is refused; the model in service goes on", refused=version, why=why, serving=still
        )

    def _serve(self, model: Model, manifest: Manifest) -> None:
        before = self._served
        # One assignment: a reading in progress keeps the model that it began with.
        self._served = Served(model, manifest, datetime.now(UTC))
        self._loaded.set()
        SERVED.clear()
        SERVED.labels(model.version).set(1)
        SWAPS.inc()
        log.info("serving a model", version=model.version, before=before.manifest.version if before else None)


def _check_hash(file: bytes, sha256: str) -> None:
    found = hashlib.sha256(file).hexdigest()
    if found != sha256:
        raise ModelError(f"The model's sha256 is {found}, expected {sha256}.")
