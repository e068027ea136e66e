"""The shadow: a challenger that reads a share of the photos alongside the champion, unseen by users.

Agreement is counted, for the metrics and for the operator's page; tasks know nothing of it. It only ever
takes time that is left: one photo at a time, after the champion's reading, and none while another waits.
"""

import asyncio
import hashlib
from concurrent.futures import Executor
from functools import partial

import structlog
from prometheus_client import Counter

from ai_consumer.service.champion import Champion
from laundry_events.events import TaskRead
from laundry_reading.model import Model, ModelError
from laundry_reading.replicas import SHADOW_KEY, Shadow, Shadowed
from laundry_reading.signing import NotTrusted, TrustedKeys
from laundry_reading.storage import MAX_MANIFEST_BYTES, MAX_MODEL_BYTES, manifest_key, model_key
from laundry_service.background.task import BackgroundTask
from laundry_service.storage.object_store import ObjectMissing, ObjectStore, ObjectStoreUnavailable

READ = Counter(
    "laundry_shadow_readings",
    "Photos read alongside, by whether the first guess was the champion's",
    ["version", "agrees"],
)
MISSED = Counter(
    "laundry_shadow_missed", "Photos that the shadow should have read, but had no time for or failed on"
)

log = structlog.get_logger(__name__)


def falls_to(task_id: str, share: float) -> bool:
    """Whether a task is among the share that is read alongside: the same on every replica and delivery."""
    return int.from_bytes(hashlib.sha256(task_id.encode()).digest()[:4]) < share * 2**32


class ShadowReader:
    """Keeps the shadow equal to what ``models/shadow.json`` says, and reads with it."""

    def __init__(
        self, store: ObjectStore, trusted: TrustedKeys, champion: Champion, *, poll_s: float
    ) -> None:
        """Take where models are, who may sign them, and which model must be compared with."""
        self._store = store
        self._trusted = trusted
        self._champion = champion
        self._wanted: Shadow | None = None
        self._model: Model | None = None
        self._tally: Shadowed | None = None
        self._busy = False
        self._failed: Shadow | None = None
        self._following = BackgroundTask(
            "shadow",
            self.look,
            every_s=poll_s,
            expected=(ObjectStoreUnavailable,),
            waiting=None,  # the champion's own look says so already
            failed="looking for a shadow failed",
        )

    async def start(self) -> None:
        """Begin to look for a shadow."""
        await self._following.start()

    async def stop(self) -> None:
        """Stop checking for a shadow; the one that reads goes on until the process ends."""
        await self._following.stop()

    @property
    def tally(self) -> Shadowed | None:
        """What was read alongside since the present shadow was taken; None without one."""
        return self._tally

    def offer(self, photo: bytes, read: TaskRead, worker: Executor) -> None:
        """Queue a photo that the champion has read for the shadow, on the same worker."""
        model, wanted = self._model, self._wanted
        if model is None or wanted is None or not falls_to(read.task_id, wanted.share):
            return
        if not read.labels or read.multiple:
            return  # compared are guesses at one garment
        if model.version == read.model_version:
            return
        if self._busy:
            MISSED.inc()
            return
        self._busy = True
        future = asyncio.get_running_loop().run_in_executor(
            worker, _first_guess, model, photo, read.branch_id
        )
        future.add_done_callback(partial(self._note, model.version, read.labels[0].label))

    def _note(self, version: str, champion_says: str, done: "asyncio.Future[str | None]") -> None:
        self._busy = False
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            MISSED.inc()
            log.warning("the shadow failed on a photo", version=version, error=str(error))
            return
        agrees = done.result() == champion_says
        READ.labels(version, "yes" if agrees else "no").inc()
        tally = self._tally
        if tally is not None and tally.version == version:
            self._tally = Shadowed(version=version, photos=tally.photos + 1, agreed=tally.agreed + agrees)

    async def look(self) -> None:
        """Check once which model should be the shadow; a broken or incompatible one is refused."""
        try:
            wanted = Shadow.model_validate_json(
                await self._store.get(SHADOW_KEY, max_bytes=MAX_MANIFEST_BYTES)
            )
        except (ObjectMissing, ValueError):
            self._wanted = self._model = self._tally = None
            return
        if wanted == self._failed:
            return
        if self._model is not None and wanted.version == self._model.version:
            self._wanted = wanted
            return
        self._wanted = self._model = self._tally = None
        try:
            model = await self._load(wanted.version)
        except (NotTrusted, ObjectMissing, ValueError, ModelError) as error:
            self._failed = wanted
            log.error("a shadow is refused", version=wanted.version, error=str(error)[:300])  # noqa: TRY400
            return
        self._wanted, self._model, self._failed = wanted, model, None
        self._tally = Shadowed(version=model.version, photos=0, agreed=0)
        log.info("a model reads alongside", version=model.version, share=wanted.share)

    async def _load(self, version: str) -> Model:
        text = await self._store.get(manifest_key(version), max_bytes=MAX_MANIFEST_BYTES)
        manifest = self._trusted.open(text, "model")
        file = await self._store.get(model_key(manifest), max_bytes=MAX_MODEL_BYTES)
        model = await asyncio.to_thread(Model.load, file, sha256=manifest.sha256)
        served = self._champion.served
        if model.version != version or (served and set(model.labels) != set(served.model.labels)):
            raise ModelError("it has another version than its manifest or other classes than the champion")
        return model


def _first_guess(model: Model, photo: bytes, branch_id: str) -> str | None:
    """Return the class of the one garment; None if several are seen."""
    reading = model.read(photo, branch_id=branch_id)
    return None if reading.multiple else reading.labels[0].label
