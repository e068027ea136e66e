"""What every kind of run does first: the champion, the examples as it sees them, and which may teach."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from laundry_learning import holdout as held_out
from laundry_learning.artifacts import Entry, entry_of
from laundry_learning.challenger import Holdout, Taught, look_for_careless
from laundry_learning.curation import Care, Fate, Opinion, care
from laundry_learning.graph import NoLinearHead, read_head
from laundry_learning.head import Examples, Head
from laundry_learning.holdout import HeldOut
from laundry_learning.judging import Check
from laundry_learning.lineage import first_version_of
from laundry_learning.sandbox.client import Looker
from laundry_learning.sandbox.launcher import Here, Starter
from laundry_reading.manifest import Manifest
from laundry_reading.model import Model, ModelError
from laundry_reading.storage import MAX_MODEL_BYTES
from laundry_service.database import Database
from laundry_service.objectstore import ObjectMissing, ObjectStore
from mlops import repository
from mlops.jobs.run import Run
from mlops.jobs.training_set import Eyes, Lesson, Progress, make_lesson
from mlops.runs import RunError
from mlops.service.registry import BrokenModel, Registry


@dataclass(frozen=True)
class Champion:
    """The champion and the trained model (its root) that it descends from by refits; they may be the same.

    Attributes:
        head, base: last layer of the champion and of its root.
        held, rehearsal: the photos that ship with the root, None where it has none.
        learnt: ids of the examples that taught the champion.
    """

    manifest: Manifest
    file: bytes
    root_manifest: Manifest
    root: bytes
    model: Model
    head: Head
    base: Head
    held: HeldOut | None
    rehearsal: Examples | None
    learnt: set[str]

    @property
    def backbone(self) -> str:
        """Name of the part before the last layer."""
        return hashlib.sha256(self.root).hexdigest()


class Groundwork:
    """Fetches the champion, sees the examples and sorts them out."""

    def __init__(
        self,
        run: Run,
        database: Database,
        store: ObjectStore,
        registry: Registry,
        starter: Starter | None = None,
    ) -> None:
        """Take the run whose log tells of it, and who starts what looks at photos."""
        self._starter = starter or Here()
        self._run = run
        self._database = database
        self._store = store
        self._registry = registry

    async def champion(self) -> Champion:
        """Fetch the champion and what ships with it.

        Raises:
            RunError: there is none, or it cannot be built upon.
        """
        async with self._database.session() as session:
            row = await repository.get_champion(session)
            if row is None:
                raise RunError("There is no champion to train on. Register a model first.")
            manifest = row.manifest
            first = first_version_of(manifest)
            root = await repository.get_model(session, first) if first else None
            learnt = await repository.learnt_by(session, manifest.version)
        root_manifest = root.manifest if root else manifest
        try:
            file = await self._registry.fetch(manifest)
            root_file = await self._registry.fetch(root_manifest) if root else file
            model = await asyncio.to_thread(Model.load, file, sha256=manifest.sha256)
            head = await asyncio.to_thread(read_head, file)
            base = await asyncio.to_thread(read_head, root_file)
        except BrokenModel as error:
            raise RunError(str(error)) from error
        except (ModelError, NoLinearHead) as error:
            raise RunError(f"The champion {manifest.version} cannot be trained on: {error}") from error
        held, rehearsal = await self._shipped(manifest)
        return Champion(manifest, file, root_manifest, root_file, model, head, base, held, rehearsal, learnt)

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

    async def see(
        self, champion: Champion, progress: Progress, *, most: int, until: str | None = None
    ) -> Lesson:
        """See the photos of the newest examples (until an id) with the champion and sort them out.

        Raises:
            RunError: the photos cannot be reached.
        """
        async with self._database.session() as session:
            examples = await repository.newest_examples(session, limit=most, until=until)
        await self._run.note(
            f"{len(examples)} examples; the champion {champion.manifest.version} learnt "
            f"{len(champion.learnt)}"
        )
        async with Looker(self._starter, champion.file) as looker:
            eyes = Eyes(self._database, self._store, None, champion.backbone, looker)
            seen, unusable = await eyes.see(examples, progress)
        return await asyncio.to_thread(make_lesson, seen, unusable, champion.model.labels, champion.held)

    async def leave_out_careless(self, champion: Champion, lesson: Lesson, taught: Taught) -> dict[str, Care]:
        """Tell how careful each person's new labels are; the careless ones will teach, and judge, nothing."""
        judges = care_of_judges(champion, lesson)
        learnt: dict[str, Care] = {}
        if len(taught.targets):
            learnt = await asyncio.to_thread(
                look_for_careless,
                champion.base,
                champion.head,
                taught,
                champion.rehearsal,
                champion.model.priors,
            )
        await self._run.note_care({**judges, **learnt})
        for place in lesson.of("judging"):
            self._leave_out(lesson, place, judges)
        for place in lesson.of("learnt"):
            if lesson.examples[place].id not in champion.learnt:
                self._leave_out(lesson, place, learnt)
        return learnt

    @staticmethod
    def _leave_out(lesson: Lesson, place: int, found: Mapping[str, Care]) -> None:
        own = found.get(lesson.examples[place].confirmed_by)
        if own is not None and own.careless:
            lesson.fates[lesson.examples[place].id] = Fate("left out", own.words)


def care_of_judges(champion: Champion, lesson: Lesson) -> dict[str, Care]:
    """Tell how careful the labels of branches that judge are, by what the champion holds for impossible.

    They teach nothing, so nothing else can tell.
    """
    places = lesson.of("judging")
    if not places:
        return {}
    said = champion.head.probabilities(lesson.features[places])
    opinions = [
        Opinion(float(row[label]), float(row[label]), corrects=int(row.argmax()) != label)
        for row, label in zip(said, lesson.targets[places].tolist(), strict=True)
    ]
    owners = [lesson.examples[place].confirmed_by for place in places]
    return care(owners, opinions, [True] * len(places))


def taught_by(lesson: Lesson, learnt: set[str]) -> Taught:
    """Gather the examples that may teach, as the champion sees them."""
    places = lesson.of("learnt")
    return Taught(
        lesson.features[places],
        lesson.targets[places],
        lesson.groups[places],
        [lesson.examples[place].confirmed_by for place in places],
        [lesson.examples[place].branch_id for place in places],
        np.array([lesson.examples[place].id not in learnt for place in places], dtype=np.bool_),
    )


def words_of_careless(care: Mapping[str, Care]) -> list[str]:
    """Say whose labels are careless."""
    return sorted({each.words for each in care.values() if each.careless})


def checks_of_careless(care: Mapping[str, Care]) -> list[Check]:
    """Say in a verdict whose labels were left out."""
    return [Check(name="care", passed=True, text=f"left out: {words}") for words in words_of_careless(care)]


def holdout_of(lesson: Lesson, held: HeldOut | None) -> Holdout | None:
    """Put the shipped judges and the branches that stand aside together."""
    places = [place for place in lesson.of("judging") if lesson.examples[place].side == "holdout"]
    branches = [lesson.examples[place].branch_id for place in places]
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
