"""What every kind of run prepares first: the champion, the features of the examples and their roles."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from laundry_learning.artifacts import Artifact, artifact_of
from laundry_learning.challenger import HoldoutData, TrainingData, assess_labels
from laundry_learning.curation import Assignment, LabelEvidence, LabelQuality, assess
from laundry_learning.graph import NoLinearHead, read_head
from laundry_learning.head import Examples, Head
from laundry_learning.holdout import BrokenHoldout, FrozenHoldout, read_holdout, read_rehearsal
from laundry_learning.judging import Check
from laundry_learning.lineage import first_version_of
from laundry_learning.sandbox.client import SandboxClient
from laundry_learning.sandbox.launcher import LocalSandbox, Sandbox
from laundry_reading.manifest import Manifest
from laundry_reading.model import Model, ModelError
from laundry_reading.storage import MAX_MODEL_BYTES
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectMissing, ObjectStore
from mlops import repository
from mlops.jobs.run import Run
from mlops.jobs.training_set import FeatureExtractor, Progress, TrainingSet, build_training_set
from mlops.models import BrokenModel
from mlops.runs import RunError
from mlops.service.registry import Registry


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
    held: FrozenHoldout | None
    rehearsal: Examples | None
    learnt: set[str]

    @property
    def backbone(self) -> str:
        """The network before the last layer, which refits share: the sha256 of the root's file."""
        return hashlib.sha256(self.root).hexdigest()


class Preparation:
    """Fetches the champion, extracts the examples' features with it and assigns their roles."""

    def __init__(
        self,
        run: Run,
        database: Database,
        store: ObjectStore,
        registry: Registry,
        sandbox: Sandbox | None = None,
    ) -> None:
        """Take the run whose log tells of it, and the sandbox that reads photos."""
        self._sandbox = sandbox or LocalSandbox()
        self._run = run
        self._database = database
        self._store = store
        self._registry = registry

    async def champion(self) -> Champion:
        """Fetch the champion and what ships with it.

        Raises:
            RunError: there is none, or it cannot be trained on.
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

    async def _shipped(self, manifest: Manifest) -> tuple[FrozenHoldout | None, Examples | None]:
        try:
            judging, rehearsed = artifact_of(manifest, "held_out"), artifact_of(manifest, "rehearsal")
            count = len(manifest.labels)
            held = read_holdout(await self._get(judging), judging, labels=count) if judging else None
            known = None
            if rehearsed:
                known = read_rehearsal(await self._get(rehearsed), rehearsed, labels=count)
        except (ObjectMissing, ValueError, BrokenHoldout) as error:
            raise RunError(f"The champion's held-out photos cannot be used: {error}") from error
        return held, known

    async def _get(self, entry: Artifact) -> bytes:
        return await self._store.get(entry.key, max_bytes=MAX_MODEL_BYTES)

    async def extract(
        self, champion: Champion, progress: Progress, *, most: int, before_run: str | None = None
    ) -> TrainingSet:
        """Extract the features of the newest examples with the champion and assign their roles.

        ``before_run``: see ``repository.newest_examples``.

        Raises:
            RunError: the photos cannot be reached.
        """
        async with self._database.session() as session:
            examples = await repository.newest_examples(session, limit=most, before_run=before_run)
        await self._run.note(
            f"{len(examples)} examples; the champion {champion.manifest.version} learnt "
            f"{len(champion.learnt)}"
        )
        async with SandboxClient(self._sandbox, champion.file) as reader:
            extractor = FeatureExtractor(self._database, self._store, None, champion.backbone, reader)
            seen, unusable = await extractor.extract(examples, progress)
        return await asyncio.to_thread(
            build_training_set, seen, unusable, champion.model.labels, champion.held
        )

    async def leave_out_careless(
        self, champion: Champion, training_set: TrainingSet, taught: TrainingData
    ) -> dict[str, LabelQuality]:
        """Assess each person's new labels; careless ones neither teach nor judge."""
        judges = quality_of_judges(champion, training_set)
        learnt: dict[str, LabelQuality] = {}
        if len(taught.targets):
            learnt = await asyncio.to_thread(
                assess_labels,
                champion.base,
                champion.head,
                taught,
                champion.rehearsal,
                champion.model.priors,
            )
        await self._run.note_label_quality({**judges, **learnt})
        for place in training_set.of("judging"):
            self._leave_out(training_set, place, judges)
        for place in training_set.of("learnt"):
            if training_set.examples[place].id not in champion.learnt:
                self._leave_out(training_set, place, learnt)
        return learnt

    @staticmethod
    def _leave_out(training_set: TrainingSet, place: int, found: Mapping[str, LabelQuality]) -> None:
        own = found.get(training_set.examples[place].confirmed_by)
        if own is not None and own.careless:
            training_set.assignments[training_set.examples[place].id] = Assignment("left out", own.summary)


def quality_of_judges(champion: Champion, training_set: TrainingSet) -> dict[str, LabelQuality]:
    """Assess the labels of held-out branches by what the champion holds for impossible.

    They are not trained on, so there is no other measure.
    """
    places = training_set.of("judging")
    if not places:
        return {}
    said = champion.head.probabilities(training_set.features[places])
    opinions = [
        LabelEvidence(float(row[label]), float(row[label]), corrects=int(row.argmax()) != label)
        for row, label in zip(said, training_set.targets[places].tolist(), strict=True)
    ]
    owners = [training_set.examples[place].confirmed_by for place in places]
    return assess(owners, opinions, [True] * len(places))


def taught_by(training_set: TrainingSet, learnt: set[str]) -> TrainingData:
    """Return the features and labels of the examples that may teach."""
    places = training_set.of("learnt")
    return TrainingData(
        training_set.features[places],
        training_set.targets[places],
        training_set.groups[places],
        [training_set.examples[place].confirmed_by for place in places],
        [training_set.examples[place].branch_id for place in places],
        np.array([training_set.examples[place].id not in learnt for place in places], dtype=np.bool_),
    )


def careless_summaries(quality: Mapping[str, LabelQuality]) -> list[str]:
    """Say whose labels are careless, each summary once."""
    return sorted({each.summary for each in quality.values() if each.careless})


def careless_checks(quality: Mapping[str, LabelQuality]) -> list[Check]:
    """Say in a verdict whose labels were left out."""
    return [
        Check(name="care", passed=True, text=f"left out: {summary}")
        for summary in careless_summaries(quality)
    ]


def holdout_of(training_set: TrainingSet, champion: Champion) -> HoldoutData | None:
    """Join the holdout that ships with the model and the held-out branches."""
    held = champion.held
    places = [place for place in training_set.of("judging") if training_set.examples[place].side == "holdout"]
    branches = [training_set.examples[place].branch_id for place in places]
    known = sorted(set(branches))
    first = 0 if held is None else int(held.households.max()) + 1
    own = np.array([first + known.index(branch) for branch in branches], dtype=np.int64)
    if held is None:
        return (
            HoldoutData(training_set.features[places], training_set.targets[places], own) if places else None
        )
    doubts = held.doubts(champion.model.several_threshold)
    if not places:
        return HoldoutData(held.features, held.targets, held.households, doubts)
    return HoldoutData(
        np.vstack([held.features, training_set.features[places]]),
        np.concatenate([held.targets, training_set.targets[places]]),
        np.concatenate([held.households, own]),
        None if doubts is None else doubts.followed_by(len(places)),
    )
