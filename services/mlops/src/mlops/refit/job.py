"""One refit from its queued row to its decision."""

import asyncio
import hashlib
from collections import Counter
from datetime import UTC, datetime

import numpy as np

from laundry_events import Outbox
from laundry_reading.manifest import Manifest
from laundry_reading.model import Model, ModelError
from laundry_reading.storage import MAX_MODEL_BYTES
from laundry_service.database import Database
from laundry_service.objectstore import ObjectMissing, ObjectStore
from mlops import repository
from mlops.curation import Fate
from mlops.heldout import Entry, entry_of
from mlops.manifests import Manifests
from mlops.refit import held_out
from mlops.refit.choose import Chosen, Holdout, Taught, choose, contest, look_for_careless
from mlops.refit.cost import compare_costs
from mlops.refit.examples import Eyes, Lesson, make_lesson
from mlops.refit.graph import NoLinearHead, read_head, replace_head
from mlops.refit.head import Examples, Head
from mlops.refit.held_out import HeldOut
from mlops.refit.judge import figures, weigh
from mlops.refit.run import Run
from mlops.registry import BrokenModel, Registry
from mlops.runs import RunError
from mlops.settings import Settings

LARGEST_GAP = 0.01
SEEN = 0.7


class NothingToLearn(Exception):
    """The run ends well, but without a model; the text says why."""


class Refit:
    """The steps of one run."""

    def __init__(
        self, run: Run, settings: Settings, database: Database, store: ObjectStore, registry: Registry
    ) -> None:
        self._run = run
        self._settings = settings
        self._database = database
        self._store = store
        self._registry = registry

    async def run(self) -> None:
        """Fetch, sort out, fit, judge, store, decide.

        Raises:
            RunError, ObjectStoreUnavailable, mlops.refit.run.NotRunning: how it can end otherwise.
        """
        manifest, file, root = await self._models()
        try:
            model = await asyncio.to_thread(Model.load, file, sha256=manifest.sha256)
            champion = await asyncio.to_thread(read_head, file)
            base = await asyncio.to_thread(read_head, root)
        except (ModelError, NoLinearHead) as error:
            raise RunError(f"The champion {manifest.version} cannot be refitted: {error}") from error
        held, rehearsal = await self._shipped(manifest)
        async with self._database.session() as session:
            examples = await repository.newest_examples(session, limit=self._settings.refit_max_examples)
            learnt = await repository.learnt_by(session, manifest.version)
        await self._run.note(
            f"{len(examples)} examples; the champion {manifest.version} learnt {len(learnt)}"
        )
        eyes = Eyes(self._database, self._store, model, hashlib.sha256(root).hexdigest())
        seen, unusable = await eyes.see(examples, self._seeing)
        lesson = await asyncio.to_thread(make_lesson, seen, unusable, model.labels, held)
        try:
            chosen = await self._learn(lesson, learnt, (base, champion), (held, rehearsal), model.labels)
        except NothingToLearn as error:
            await self._run.finish_without_model(lesson.fates, str(error))
            return
        version = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-refit"
        candidate = await asyncio.to_thread(self._export, file, chosen.head, version)
        verdict = chosen.verdict
        weigh(verdict, *await asyncio.to_thread(compare_costs, file, candidate))
        holdout = contest(champion, chosen.head, _holdout(lesson, held))
        new = manifest.model_copy(
            update={
                "version": version,
                "file": f"laundry-{version}.onnx",
                "sha256": hashlib.sha256(candidate).hexdigest(),
                "file_bytes": len(candidate),
                "metrics": {
                    "judged_on": "the frozen holdout",
                    **(figures(holdout.challenger, holdout.targets, model.labels) if holdout else {}),
                    "champion": figures(holdout.champion, holdout.targets, model.labels) if holdout else None,
                },
                "lineage": self._lineage(manifest, root, lesson, chosen),
                "created_at": datetime.now(UTC).replace(microsecond=0),
            }
        )
        await self._registry.upload(new, candidate)
        await self._run.finish(manifest.version, new, verdict, lesson.fates, source="refit")

    async def _models(self) -> tuple[Manifest, bytes, bytes]:
        """Return the champion's manifest and file, and the trained model's file that it descends from."""
        async with self._database.session() as session:
            row = await repository.get_champion(session)
            if row is None:
                raise RunError("There is no champion to refit. Register a model first.")
            manifest = Manifest.model_validate(row["manifest"])
            first = await repository.get_model(session, str(manifest.lineage.get("first_version", "")))
        try:
            file = await self._registry.fetch(manifest)
            root = await self._registry.fetch(Manifest.model_validate(first["manifest"])) if first else file
        except BrokenModel as error:
            raise RunError(str(error)) from error
        return manifest, file, root

    async def _shipped(self, manifest: Manifest) -> tuple[HeldOut | None, Examples | None]:
        try:
            judging, rehearsed = entry_of(manifest, "held_out"), entry_of(manifest, "rehearsal")
            count = len(manifest.labels)
            held = held_out.read(await self._get(judging), judging, labels=count) if judging else None
            known = None
            if rehearsed:
                known = held_out.read_rehearsal(await self._get(rehearsed), rehearsed, labels=count)
        except (ObjectMissing, ValueError, held_out.BrokenHeldOut) as error:
            raise RunError(f"The champion's held-out photos cannot be used: {error}") from error
        return held, known

    async def _get(self, entry: Entry) -> bytes:
        return await self._store.get(entry.key, max_bytes=MAX_MODEL_BYTES)

    async def _learn(
        self,
        lesson: Lesson,
        learnt: set[str],
        heads: tuple[Head, Head],
        shipped: tuple[HeldOut | None, Examples | None],
        labels: tuple[str, ...],
    ) -> Chosen:
        (base, champion), (held, rehearsal) = heads, shipped
        places = lesson.of("learnt")
        taught = Taught(
            lesson.features[places],
            lesson.targets[places],
            lesson.groups[places],
            [lesson.examples[place]["confirmed_by"] for place in places],
            np.array([lesson.examples[place]["id"] not in learnt for place in places], dtype=np.bool_),
        )
        self._check_enough(taught, lesson)
        care = await asyncio.to_thread(look_for_careless, base, champion, taught, rehearsal)
        await self._run.note_care(care)
        for place, owner, new in zip(places, taught.owners, taught.new, strict=True):
            if new and care[owner].careless:
                lesson.fates[lesson.examples[place]["id"]] = Fate("left out", care[owner].words)
        careless = sorted({each.words for each in care.values() if each.careless})
        remaining = [place for place in lesson.of("learnt") if lesson.examples[place]["id"] not in learnt]
        if not remaining:
            why = "the champion has learnt from every usable example already"
            if careless:
                why = f"{'; '.join(careless)}. A person should look at them before anything learns"
            raise NothingToLearn(f"no model is made: {why}")
        if len({int(lesson.targets[place]) for place in lesson.of("learnt")}) < 2:
            raise NothingToLearn("no model is made: without careless labels only one kind of garment is left")
        chosen = await asyncio.to_thread(
            choose,
            base,
            champion,
            taught,
            rehearsal=rehearsal,
            holdout=_holdout(lesson, held),
            labels=labels,
            found=care,
        )
        await self._run.report(0.9)
        await self._run.note(f"fitted on {int(chosen.used.sum())} examples, pull {chosen.pull:g}")
        for words in careless:
            chosen.verdict.add("care", f"left out: {words}", passed=True)
        return chosen

    def _check_enough(self, taught: Taught, lesson: Lesson) -> None:
        need, kinds = self._settings.refit_min_training, len(set(taught.targets.tolist()))
        if len(taught.targets) >= need and kinds >= 2:
            return
        why = Counter(fate.reason for fate in lesson.fates.values() if fate.reason)
        left_out = "".join(f"; {count} left out: {reason}" for reason, count in sorted(why.items()))
        aside = len(lesson.of("judging"))
        raise RunError(
            f"Too few examples: {len(taught.targets)} to learn from (at least {need}, of two kinds or more; "
            f"there {'is' if kinds == 1 else 'are'} {kinds}); {aside} are of branches that only judge"
            f"{left_out}. Confirm more tasks, then start the run again."
        )

    @staticmethod
    def _export(file: bytes, head: Head, version: str) -> bytes:
        candidate = replace_head(file, head, version=version)
        served = Model.load(candidate)
        size = served.input_size
        images = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
        probs, features = served.predict(images)
        gap = float(np.abs(probs - head.probabilities(features.astype(np.float64))).max())
        if gap > LARGEST_GAP:
            raise RunError(f"The new file differs from what was fitted by {gap:.3f} in a probability.")
        return candidate

    def _lineage(self, base: Manifest, root: bytes, lesson: Lesson, chosen: Chosen) -> dict[str, object]:
        left_out = Counter(fate.reason for fate in lesson.fates.values() if fate.role == "left out")
        return {
            "kind": "refit",
            "run_id": self._run.id,
            "base_version": base.version,
            "base_sha256": base.sha256,
            "first_version": base.lineage.get("first_version", base.version),
            "first_sha256": hashlib.sha256(root).hexdigest(),
            "examples_learnt": len(lesson.of("learnt")),
            "examples_judging": len(lesson.of("judging")),
            "examples_left_out": dict(left_out),
            "examples_sha256": lesson.digest,
            "pull_towards_first": chosen.pull,
        }

    async def _seeing(self, share: float) -> None:
        await self._run.report(share * SEEN)


def _holdout(lesson: Lesson, held: HeldOut | None) -> Holdout | None:
    """Put the shipped judges and the branches that stand aside together."""
    places = lesson.of("judging")
    branches = [lesson.examples[place]["branch_id"] for place in places]
    known = sorted(set(branches))
    first = 0 if held is None else int(held.households.max()) + 1
    own = np.array([first + known.index(branch) for branch in branches], dtype=np.int64)
    if held is None:
        return Holdout(lesson.features[places], lesson.targets[places], own) if places else None
    if not places:
        return Holdout(held.features, held.targets, held.households)
    return Holdout(
        np.vstack([held.features, lesson.features[places]]),
        np.concatenate([held.targets, lesson.targets[places]]),
        np.concatenate([held.households, own]),
    )


async def run_refit(run_id: str, settings: Settings) -> int:
    """Run a refit and note how it ended. Returns the exit code."""
    database = Database(settings.database_url.get_secret_value(), pool=2)
    store = ObjectStore(settings, threads=4)
    manifests = Manifests(store, settings.model_signing_key, settings.model_public_keys)
    registry = Registry(database, store, Outbox(settings.service_name), manifests)
    run = Run(run_id, database, registry)
    try:
        async with run:
            await Refit(run, settings, database, store, registry).run()
    finally:
        await store.close()
        await database.close()
    return run.exit_code
