"""One full run from its queued row to its decision."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from laundry_learning import dataset
from laundry_learning.artifacts import artifact_of
from laundry_learning.cost import Cost, check_cost
from laundry_learning.curation import Assignment, LabelQuality, weights
from laundry_learning.doubts import Doubts
from laundry_learning.fine_tuning.contract import Correction, Facts, Order
from laundry_learning.lineage import view_size_of
from laundry_learning.metrics import metrics_of
from laundry_learning.sandbox.client import SandboxClient, TooManyCrashes, Unreadable
from laundry_learning.sandbox.launcher import sandbox_of
from laundry_reading.storage import MAX_MODEL_BYTES
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectMissing, ObjectStore, ObjectStoreUnavailable
from mlops.full.comparison import (
    Candidate,
    champions_doubts,
    compare,
    descended_from,
    knowing_branches,
    knowing_what_was_known,
    read_candidate,
)
from mlops.full.photos import HoldoutPhotos, find_holdout_photos, lay_out, stand_aside
from mlops.full.requirements import LocalRequirements, explain, interpreter
from mlops.full.trainer import train
from mlops.full.untrusted import OutputFolder
from mlops.full.workdir import WorkDir
from mlops.jobs.champion import Champion, Preparation, careless_checks, taught_by
from mlops.jobs.run import Run, is_passing
from mlops.jobs.training_set import FeatureExtractor, TrainingSet
from mlops.runs import RunError, RunInterrupted, StoreUnavailable
from mlops.service.registry import Registry
from mlops.settings import Settings

SEEN, LAID_OUT, TRAINED, READ = 0.05, 0.1, 0.85, 0.95
ASIDE = Assignment("judging", "stands aside to judge what this run gains")


class Full:
    """The steps of one run."""

    def __init__(
        self, run: Run, settings: Settings, database: Database, store: ObjectStore, registry: Registry
    ) -> None:
        self._run = run
        self._settings = settings
        self._database = database
        self._store = store
        self._registry = registry
        self._sandbox = sandbox_of(settings.sandbox_socket)
        self._preparation = Preparation(run, database, store, registry, self._sandbox)
        self._workdir = WorkDir(settings, run.id)

    async def run(self) -> None:
        """Fetch, sort out, fine-tune, read the holdout with the new model, judge, store, decide.

        Raises:
            RunError, RunInterrupted, mlops.jobs.run.NotRunning: how it can end otherwise.
        """
        await self._workdir.open(self._database)
        try:
            await self._work()
        except (StoreUnavailable, ObjectStoreUnavailable) as error:
            # What was trained lies in the work directory, and is worth another attempt.
            raise RunInterrupted(f"the object store stayed away: {error}") from error
        except Exception as error:
            if not is_passing(error):
                self._workdir.close()
            raise
        self._workdir.close()

    async def _work(self) -> None:
        champion = await self._preparation.champion()
        data, start = await self._requirements(champion)
        most = self._settings.training_photos
        holdout_photos = await asyncio.to_thread(find_holdout_photos, data, champion.held, most=most)
        # None that was confirmed later than the run was asked for: started again, it must find the same work.
        training_set = await self._preparation.extract(
            champion,
            self._share(0, SEEN),
            most=self._settings.refit_max_examples,
            before_run=self._run.id,
        )
        quality = await self._sort_out(champion, training_set)
        order = self._workdir.put(self._order(champion, training_set, data), start)
        await self._run.note(f"fine-tuning {champion.root_manifest.version} into {order.version}")
        await train(
            self._sandbox,
            interpreter(self._settings),
            self._workdir.folder,
            data,
            threads=self._settings.training_threads,
            progress=self._share(LAID_OUT, TRAINED),
            note=self._run.note,
        )
        await self._run.note("reading the photos that judge with the new model")
        candidate = await self._read(holdout_photos, champion, training_set, order)
        doubts = await champions_doubts(champion, holdout_photos, self._sandbox)
        await self._run.report(READ)
        await self._judge(champion, candidate, training_set, doubts, quality)

    async def _requirements(self, champion: Champion) -> tuple[Path, bytes]:
        """Return the folder of photos and the weights to start from."""
        lacking = await LocalRequirements(self._settings).lacking(champion.root_manifest)
        entry, data = artifact_of(champion.root_manifest, "weights"), self._settings.training_data
        if lacking or entry is None or data is None:
            raise RunError(explain(lacking))
        if champion.model.labels != dataset.LABELS:
            raise RunError("The champion says other classes than the training photos show. Train it again.")
        try:
            start = await self._store.get(entry.key, max_bytes=MAX_MODEL_BYTES)
        except (ObjectMissing, ValueError) as error:
            raise RunError(f"The weights of {entry.version} cannot be used: {error}") from error
        if not entry.matches(start):
            raise RunError(
                f"The weights {entry.file} are not what the manifest says. Register the model again."
            )
        return data, start

    async def _sort_out(self, champion: Champion, training_set: TrainingSet) -> dict[str, LabelQuality]:
        """Leave out careless labels, hold some examples out, and decode the photos that teach."""
        taught = taught_by(training_set, champion.learnt)
        quality = await self._preparation.leave_out_careless(champion, training_set, taught)
        new = [p for p in training_set.of("learnt") if training_set.examples[p].id not in champion.learnt]
        ids = [training_set.examples[place].id for place in new]
        for example, aside in zip(ids, stand_aside(ids, training_set.groups[new].tolist()), strict=True):
            if aside:
                training_set.assignments[example] = ASIDE
        teaching = [training_set.examples[place] for place in training_set.of("learnt")]
        async with SandboxClient(self._sandbox) as reader:
            extractor = FeatureExtractor(self._database, self._store, None, champion.backbone, reader)
            report = self._share(SEEN, LAID_OUT)
            training_set.assignments.update(await lay_out(extractor, teaching, self._workdir.photos, report))
        return quality

    def _order(self, champion: Champion, training_set: TrainingSet, data: Path) -> Order:
        places, root, settings = training_set.of("learnt"), champion.root_manifest, self._settings
        shares = weights([training_set.examples[place].confirmed_by for place in places])
        return Order(
            version=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-full",
            data=data.absolute(),
            input_size=root.input_size,
            view_size=view_size_of(root),
            epochs=settings.training_epochs,
            rate=settings.training_rate,
            threads=settings.training_threads,
            photos=settings.training_photos,
            corrections=[
                Correction(
                    photo=training_set.examples[place].photo_sha256,
                    target=int(training_set.targets[place]),
                    weight=share,
                )
                for place, share in zip(places, shares, strict=True)
            ],
            forbidden=list(champion.held.order if champion.held else ()),
            facts=Facts(
                run_id=self._run.id,
                base_version=champion.manifest.version,
                base_sha256=champion.manifest.sha256,
                started_from=root.version,
                holdout_sha256=dataset.holdout_sha256(),
                epochs=settings.training_epochs,
                rate=settings.training_rate,
                most_photos=settings.training_photos,
                **asdict(training_set.counts()),
            ),
        )

    async def _read(
        self, holdout_photos: HoldoutPhotos, champion: Champion, training_set: TrainingSet, order: Order
    ) -> Candidate:
        written = OutputFolder(self._workdir.out)
        candidate = await read_candidate(written, order.version, champion, holdout_photos, self._sandbox)
        candidate = descended_from(candidate, order)
        taught = taught_by(training_set, champion.learnt)
        return knowing_branches(candidate, taught, champion.rehearsal, order.recipe)

    async def _judge(
        self,
        champion: Champion,
        candidate: Candidate,
        training_set: TrainingSet,
        doubts: Doubts,
        quality: Mapping[str, LabelQuality],
    ) -> None:
        judging = [training_set.examples[place] for place in training_set.of("judging")]
        async with SandboxClient(self._sandbox, candidate.file) as reader:
            extractor = FeatureExtractor(self._database, self._store, None, candidate.manifest.sha256, reader)
            seen, unusable = await extractor.extract(judging, self._share(READ, 1.0))
            costs = await self._costs(reader, champion.file, candidate.file)
        training_set.assignments.update(unusable)
        if not any(each.example.side == "learning" for each in seen):
            candidate = knowing_what_was_known(candidate, champion)
        known = {each.example.id: each.photo.array() for each in seen}
        verdict, holdout = compare(champion, candidate, training_set, known, doubts)
        verdict = verdict.also(*careless_checks(quality), check_cost(*costs))
        manifest = candidate.manifest.model_copy(
            update={"metrics": {**candidate.manifest.metrics, **metrics_of(holdout, champion.model.labels)}}
        )
        await self._registry.upload(manifest, candidate.file, beside=candidate.beside)
        await self._run.finish(
            champion.manifest.version, manifest, verdict, training_set.assignments, source="full"
        )

    @staticmethod
    async def _costs(reader: SandboxClient, champion: bytes, challenger: bytes) -> tuple[Cost, Cost]:
        try:
            before, after = await reader.costs(champion, challenger)
        except (Unreadable, TooManyCrashes) as error:
            raise RunError(f"What the trainer made cannot be used: {error}") from error
        return Cost(len(champion), before), Cost(len(challenger), after)

    def _share(self, begin: float, end: float) -> Callable[[float], Awaitable[None]]:
        async def report(done: float) -> None:
            await self._run.report(begin + (end - begin) * done)

        return report
