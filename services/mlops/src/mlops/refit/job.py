"""One refit from its queued row to its decision."""

import asyncio
import hashlib
import time
from datetime import UTC, datetime

import numpy as np
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import Outbox
from laundry_reading.manifest import Manifest
from laundry_reading.model import Model, ModelError
from laundry_reading.storage import MAX_MODEL_BYTES
from laundry_service.database import Database
from laundry_service.objectstore import ObjectMissing, ObjectStore, ObjectStoreUnavailable
from mlops import repository
from mlops.heldout import held_out_of
from mlops.refit import held_out
from mlops.refit.examples import Lesson, take_lesson
from mlops.refit.graph import NoLinearHead, read_head, replace_head
from mlops.refit.head import Fitted, Floats, Head, Ints, choose_and_fit
from mlops.refit.judge import Contest, decide, score
from mlops.registry import BrokenModel, Registry
from mlops.runs import RunError
from mlops.settings import Settings

LARGEST_GAP = 0.01
REPORT_EVERY_S = 0.5
FETCHED = 0.8

log = structlog.get_logger(__name__)


def _contest(champion: Head, candidate: Head, features: Floats, targets: Ints) -> Contest:
    return Contest(
        score(champion.probabilities(features), targets), score(candidate.probabilities(features), targets)
    )


class NotRunning(Exception):
    """The run was cancelled or given up meanwhile: nothing of it is kept."""


async def run_refit(run_id: str, settings: Settings) -> int:
    """Run a refit and note how it ended. Returns the exit code."""
    database = Database(settings.database_url.get_secret_value(), pool=2)
    store = ObjectStore(settings, threads=4)
    registry = Registry(database, store, Outbox(settings.service_name))
    job = Refit(run_id, settings, database, store, registry)
    try:
        await job.run()
    except NotRunning:
        log.info("the run is not wanted any more", run_id=run_id)
    except (RunError, ObjectStoreUnavailable) as error:
        log.warning("the run fails", run_id=run_id, error=str(error))
        await job.fail(str(error))
    except Exception as error:
        log.exception("the run fails unexpectedly", run_id=run_id)
        await job.fail(f"Unexpected: {type(error).__name__}: {error}"[:500])
        return 1
    finally:
        await store.close()
        await database.close()
    return 0


class Refit:
    """The steps of one run."""

    def __init__(
        self, run_id: str, settings: Settings, database: Database, store: ObjectStore, registry: Registry
    ) -> None:
        self._run_id = run_id
        self._settings = settings
        self._database = database
        self._store = store
        self._registry = registry
        self._reported = 0.0

    async def run(self) -> None:
        """Fetch, fit, judge, store, decide.

        Raises:
            RunError, ObjectStoreUnavailable, NotRunning: how it can end otherwise.
        """
        base, file = await self._champion()
        try:
            model = await asyncio.to_thread(Model.load, file, sha256=base.sha256)
            champion = await asyncio.to_thread(read_head, file)
        except (ModelError, NoLinearHead) as error:
            raise RunError(f"The champion {base.version} cannot be refitted: {error}") from error
        async with self._database.session() as session:
            examples = await repository.newest_examples(session, limit=self._settings.refit_max_examples)
        lesson = await take_lesson(self._store, model, examples, self._fetching)
        self._check_enough(lesson)
        learn = ~lesson.judging
        fitted = await asyncio.to_thread(
            choose_and_fit, champion, lesson.features[learn], lesson.targets[learn]
        )
        await self._report(0.9)
        if fitted.strength is None:
            await self._finish_without_model(lesson)
            return
        memory = await self._held_out_contest(base, champion, fitted.head)
        version = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-refit"
        candidate = await asyncio.to_thread(self._export, file, fitted.head, version, lesson)
        await self._report(0.95)
        contest = _contest(
            champion, fitted.head, lesson.features[lesson.judging], lesson.targets[lesson.judging]
        )
        promoted, reasons = decide(contest, model.labels, held_out=memory)
        manifest = base.model_copy(
            update={
                "version": version,
                "file": f"laundry-{version}.onnx",
                "sha256": hashlib.sha256(candidate).hexdigest(),
                "file_bytes": len(candidate),
                "metrics": {
                    "judged_on": "confirmed examples that no model learns from",
                    **contest.candidate.figures(model.labels),
                    "champion": contest.champion.figures(model.labels),
                    "held_out": memory and memory.candidate.figures(model.labels),
                },
                "lineage": self._lineage(base, lesson, fitted),
                "created_at": datetime.now(UTC).replace(microsecond=0),
            }
        )
        await self._registry.upload(manifest, candidate)
        await self._finish(base, manifest, promoted, reasons)

    async def fail(self, error: str) -> None:
        """Note why the run failed."""
        async with self._database.transaction() as session:
            await repository.move_run(session, self._run_id, "failed", error=error)

    async def _champion(self) -> tuple[Manifest, bytes]:
        async with self._database.session() as session:
            row = await repository.get_champion(session)
        if row is None:
            raise RunError("There is no champion to refit. Register a model first.")
        manifest = Manifest.model_validate(row["manifest"])
        try:
            return manifest, await self._registry.fetch(manifest)
        except BrokenModel as error:
            raise RunError(str(error)) from error

    async def _held_out_contest(self, base: Manifest, champion: Head, candidate: Head) -> Contest | None:
        try:
            entry = held_out_of(base)
            if entry is None:
                return None
            data = await self._store.get(entry.key, max_bytes=MAX_MODEL_BYTES)
            held = held_out.read(data, entry, labels=len(base.labels))
        except (ObjectMissing, ValueError, held_out.BrokenHeldOut) as error:
            raise RunError(f"The champion's held-out photos cannot be used: {error}") from error
        return _contest(champion, candidate, held.features, held.targets)

    def _check_enough(self, lesson: Lesson) -> None:
        judging = int(lesson.judging.sum())
        learning = len(lesson.targets) - judging
        need_learning, need_judging = self._settings.refit_min_training, self._settings.refit_min_holdout
        kinds = len(set(lesson.targets[~lesson.judging].tolist()))
        if learning >= need_learning and judging >= need_judging and kinds >= 2:
            return
        left_out = "".join(f"; {count} left out: {why}" for why, count in sorted(lesson.left_out.items()))
        raise RunError(
            f"Too few examples: {learning} to learn from (at least {need_learning}, of two kinds or more; "
            f"there are {kinds}) and {judging} to judge by (at least {need_judging}){left_out}. "
            "Confirm more tasks, then start the run again."
        )

    @staticmethod
    def _export(file: bytes, head: Head, version: str, lesson: Lesson) -> bytes:
        candidate = replace_head(file, head, version=version)
        served = Model.load(candidate)
        probs, _ = served.predict(np.stack(lesson.images))
        gap = float(np.abs(probs - head.probabilities(lesson.image_features)).max())
        if gap > LARGEST_GAP:
            raise RunError(f"The new file differs from what was fitted by {gap:.3f} in a probability.")
        return candidate

    def _lineage(self, base: Manifest, lesson: Lesson, fitted: Fitted) -> dict[str, object]:
        return {
            "kind": "refit",
            "run_id": self._run_id,
            "base_version": base.version,
            "base_sha256": base.sha256,
            "first_version": base.lineage.get("first_version", base.version),
            "examples_learnt": int((~lesson.judging).sum()),
            "examples_judging": int(lesson.judging.sum()),
            "examples_left_out": dict(lesson.left_out),
            "examples_sha256": lesson.digest,
            "pull_towards_base": fitted.strength,
            "cross_validated_log_loss": fitted.tried,
        }

    async def _finish_without_model(self, lesson: Lesson) -> None:
        learnt = int((~lesson.judging).sum())
        reason = (
            f"no model is made: in cross-validation the {learnt} examples teach nothing that the champion "
            "does not know better"
        )
        async with self._database.transaction() as session:
            await self._succeed(session, None, promoted=False, reasons=[reason])

    async def _finish(self, base: Manifest, manifest: Manifest, promoted: bool, reasons: list[str]) -> None:
        async with self._database.transaction() as session:
            await repository.lock_promotions(session)
            champion = await repository.get_champion(session)
            if promoted and (champion is None or champion["version"] != base.version):
                promoted = False
                reasons = [*reasons[:-1], "not promoted: another model became the champion meanwhile"]
            await repository.add_model(session, manifest, source="refit", run_id=self._run_id)
            if promoted:
                await repository.make_champion(
                    session,
                    manifest.version,
                    promoted_by=f"training-run:{self._run_id}",
                    promoted_at=datetime.now(UTC),
                )
            await self._succeed(session, manifest.version, promoted=promoted, reasons=reasons)
        if promoted:
            try:
                await self._registry.announce()
            except ObjectStoreUnavailable as error:
                log.warning("the promotion waits for the service to announce it", error=str(error))

    async def _succeed(
        self, session: AsyncSession, version: str | None, *, promoted: bool, reasons: list[str]
    ) -> None:
        if not await repository.move_run(
            session,
            self._run_id,
            "succeeded",
            progress=1.0,
            model_version=version,
            decision={"promoted": promoted, "reasons": reasons},
        ):
            raise NotRunning

    async def _fetching(self, share: float) -> None:
        await self._report(share * FETCHED)

    async def _report(self, progress: float) -> None:
        if time.monotonic() - self._reported < REPORT_EVERY_S:
            return
        self._reported = time.monotonic()
        async with self._database.transaction() as session:
            if not await repository.report_progress(session, self._run_id, progress):
                raise NotRunning
