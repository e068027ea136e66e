"""One full run from its queued row to its decision."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from laundry_learning import dataset
from laundry_learning.artifacts import entry_of
from laundry_learning.cost import Cost, check_cost
from laundry_learning.curation import Care, Fate, weights
from laundry_learning.fine_tuning.contract import Correction, Facts, Order
from laundry_learning.judging import metrics_of
from laundry_learning.lineage import view_size_of
from laundry_learning.sandbox.client import Looker, TooManyDeaths, Unseen
from laundry_learning.sandbox.launcher import starter_of
from laundry_reading.storage import MAX_MODEL_BYTES
from laundry_service.database import Database
from laundry_service.objectstore import ObjectMissing, ObjectStore, ObjectStoreUnavailable
from mlops.full.comparison import (
    Candidate,
    compete,
    knowing_branches,
    knowing_what_was_known,
    read_candidate,
)
from mlops.full.photos import Frozen, find_frozen, lay_out, stand_aside
from mlops.full.requirements import LocalNeeds, interpreter, say
from mlops.full.trainer import train
from mlops.full.untrusted import Folder
from mlops.full.workdir import Workshop
from mlops.jobs.champion import Champion, Groundwork, checks_of_careless, taught_by
from mlops.jobs.run import Run
from mlops.jobs.training_set import Eyes, Lesson
from mlops.runs import BeginAnew, RunError, StoreAway
from mlops.service.registry import Registry
from mlops.settings import Settings

SEEN, LAID_OUT, TRAINED, READ = 0.05, 0.1, 0.85, 0.95
ASIDE = Fate("judging", "stands aside to judge what this run gains")


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
        self._starter = starter_of(settings.sandbox_socket)
        self._ground = Groundwork(run, database, store, registry, self._starter)
        self._workshop = Workshop(settings, run.id)

    async def run(self) -> None:
        """Fetch, sort out, fine-tune, read the judges anew, judge, store, decide.

        Raises:
            RunError, BeginAnew, mlops.jobs.run.NotRunning: how it can end otherwise.
        """
        await self._workshop.open(self._database)
        try:
            await self._work()
        except BeginAnew:
            raise
        except (StoreAway, ObjectStoreUnavailable) as error:
            # What was trained lies in the workshop, and is worth another attempt.
            raise BeginAnew(f"the object store stayed away: {error}") from error
        except Exception:
            self._workshop.close()
            raise
        self._workshop.close()

    async def _work(self) -> None:
        champion = await self._ground.champion()
        data, start = await self._requirements(champion)
        most = self._settings.training_photos
        frozen = await asyncio.to_thread(find_frozen, data, champion.held, most=most)
        # Those confirmed since it was asked for are not taken: begun anew, it must find the same work.
        lesson = await self._ground.see(
            champion,
            self._share(0, SEEN),
            most=self._settings.refit_max_examples,
            until=self._run.id,
        )
        care = await self._sort_out(champion, lesson)
        order = self._workshop.put(self._order(champion, lesson, data), start)
        await self._run.note(f"fine-tuning {champion.root_manifest.version} into {order.version}")
        await train(
            self._starter,
            interpreter(self._settings),
            self._workshop.folder,
            data,
            threads=self._settings.training_threads,
            progress=self._share(LAID_OUT, TRAINED),
            note=self._run.note,
        )
        await self._run.note("reading the photos that judge with the new model")
        candidate = await self._read(frozen, champion, lesson, order)
        await self._run.report(READ)
        await self._judge(champion, candidate, lesson, care)

    async def _requirements(self, champion: Champion) -> tuple[Path, bytes]:
        """Return the folder of photos and the weights to start from."""
        lacking = await LocalNeeds(self._settings).lacking(champion.root_manifest)
        entry, data = entry_of(champion.root_manifest, "weights"), self._settings.training_data
        if lacking or entry is None or data is None:
            raise RunError(say(lacking))
        if champion.model.labels != dataset.LABELS:
            raise RunError("The champion says other classes than the training photos show. Train it anew.")
        try:
            start = await self._store.get(entry.key, max_bytes=MAX_MODEL_BYTES)
        except (ObjectMissing, ValueError) as error:
            raise RunError(f"The weights of {entry.version} cannot be used: {error}") from error
        if not entry.matches(start):
            raise RunError(
                f"The weights {entry.file} are not what the manifest says. Register the model anew."
            )
        return data, start

    async def _sort_out(self, champion: Champion, lesson: Lesson) -> dict[str, Care]:
        """Leave out careless labels, let some stand aside, and lay out the photos that teach."""
        taught = taught_by(lesson, champion.learnt)
        care = await self._ground.leave_out_careless(champion, lesson, taught)
        new = [p for p in lesson.of("learnt") if lesson.examples[p].id not in champion.learnt]
        ids = [lesson.examples[place].id for place in new]
        for example, aside in zip(ids, stand_aside(ids, lesson.groups[new].tolist()), strict=True):
            if aside:
                lesson.fates[example] = ASIDE
        teaching = [lesson.examples[place] for place in lesson.of("learnt")]
        async with Looker(self._starter) as looker:
            eyes = Eyes(self._database, self._store, None, champion.backbone, looker)
            report = self._share(SEEN, LAID_OUT)
            lesson.fates.update(await lay_out(eyes, teaching, self._workshop.photos, report))
        return care

    def _order(self, champion: Champion, lesson: Lesson, data: Path) -> Order:
        places, root, settings = lesson.of("learnt"), champion.root_manifest, self._settings
        shares = weights([lesson.examples[place].confirmed_by for place in places])
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
                    photo=lesson.examples[place].photo_sha256,
                    target=int(lesson.targets[place]),
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
                **asdict(lesson.counts()),
            ),
        )

    async def _read(self, frozen: Frozen, champion: Champion, lesson: Lesson, order: Order) -> Candidate:
        given = Folder(self._workshop.out)
        candidate = await read_candidate(given, order.version, champion, frozen, self._starter)
        taught = taught_by(lesson, champion.learnt)
        return knowing_branches(candidate, taught, champion.rehearsal, order.course)

    async def _judge(
        self, champion: Champion, candidate: Candidate, lesson: Lesson, care: Mapping[str, Care]
    ) -> None:
        judging = [lesson.examples[place] for place in lesson.of("judging")]
        async with Looker(self._starter, candidate.file) as looker:
            eyes = Eyes(self._database, self._store, None, candidate.manifest.sha256, looker)
            seen, unusable = await eyes.see(judging, self._share(READ, 1.0))
            costs = await self._costs(looker, champion.file, candidate.file)
        lesson.fates.update(unusable)
        if not any(each.example.side == "learning" for each in seen):
            candidate = knowing_what_was_known(candidate, champion)
        verdict, holdout = compete(
            champion, candidate, lesson, {each.example.id: each.photo.array() for each in seen}
        )
        verdict = verdict.also(*checks_of_careless(care), check_cost(*costs))
        manifest = candidate.manifest.model_copy(
            update={"metrics": {**candidate.manifest.metrics, **metrics_of(holdout, champion.model.labels)}}
        )
        await self._registry.upload(manifest, candidate.file, beside=candidate.beside)
        await self._run.finish(champion.manifest.version, manifest, verdict, lesson.fates, source="full")

    @staticmethod
    async def _costs(looker: Looker, champion: bytes, challenger: bytes) -> tuple[Cost, Cost]:
        try:
            before, after = await looker.costs(champion, challenger)
        except (Unseen, TooManyDeaths) as error:
            raise RunError(f"What the trainer made cannot be used: {error}") from error
        return Cost(len(champion), before), Cost(len(challenger), after)

    def _share(self, begin: float, end: float) -> Callable[[float], Awaitable[None]]:
        async def report(done: float) -> None:
            await self._run.report(begin + (end - begin) * done)

        return report
