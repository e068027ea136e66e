"""From stored examples to the features of their photos, and what each example is used for."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from laundry_learning.curation import Assignment, CandidateExample, assign_roles
from laundry_learning.features import PhotoFeatures, PhotoReader
from laundry_learning.head import Floats, Ints
from laundry_learning.holdout import FrozenHoldout
from laundry_learning.lineage import ExampleCounts
from laundry_learning.near_duplicates import groups, hashes_of, near_duplicates, picture_hash
from laundry_learning.sandbox.client import TooManyCrashes, Unreadable
from laundry_learning.statistics import Bools
from laundry_reading.model import Model, ModelError
from laundry_reading.photo import MAX_BYTES, PhotoError
from laundry_reading.preprocess import decode_for_model
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectMissing, ObjectStore, ObjectStoreUnavailable
from mlops import repository
from mlops.examples import Example, single_label
from mlops.runs import RunError, StoreUnavailable

AT_ONCE = 4
KEPT_EVERY = 64

Progress = Callable[[float], Awaitable[None]]


class Unusable(Exception):
    """A photo that cannot be used; the text says why."""


@dataclass(frozen=True)
class ExtractedExample:
    """An example with the features of its photo."""

    example: Example
    photo: PhotoFeatures


@dataclass(frozen=True)
class TrainingSet:
    """Examples with the features of their photos, and the role of every example.

    Attributes:
        features: [n, d] of the usable ones; ``targets``, ``groups``: class and picture numbers [n].
        assignments: by example id, of all that were read.
    """

    examples: Sequence[Example]
    features: Floats
    targets: Ints
    groups: Ints
    assignments: dict[str, Assignment]

    def of(self, role: str) -> list[int]:
        """Return the positions of the examples with a role."""
        return [i for i, each in enumerate(self.examples) if self.assignments[each.id].role == role]

    @property
    def digest(self) -> str:
        """Hash of the examples that taught and their classes."""
        used = (f"{self.examples[i].id}:{self.targets[i]}" for i in self.of("learnt"))
        return hashlib.sha256("\n".join(used).encode()).hexdigest()

    def counts(self) -> ExampleCounts:
        """Return what a manifest tells of the examples."""
        why = Counter(
            str(assignment.reason)
            for assignment in self.assignments.values()
            if assignment.role == "left out"
        )
        return ExampleCounts(len(self.of("learnt")), len(self.of("judging")), dict(why), self.digest)


class FeatureExtractor:
    """Extracts the features of photos with a model; the database keeps them, so that each is read once."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        model: Model | None,
        backbone: str,
        reader: PhotoReader | None = None,
    ) -> None:
        """Take a model whose part before the last layer is called ``backbone``.

        Args:
            reader: a confined process that reads photos with this model; without, this one does.
        """
        self.reader = reader
        self._database = database
        self._store = store
        self._model = model
        self._backbone = backbone

    async def extract(
        self, examples: Sequence[Example], progress: Progress
    ) -> tuple[list[ExtractedExample], dict[str, Assignment]]:
        """Extract the features of examples, a few at a time; also return which cannot be used.

        Raises:
            StoreUnavailable: the photos cannot be reached.
        """
        async with self._database.session() as session:
            known = await repository.stored_features(
                session, self._backbone, [each.photo_sha256 for each in examples]
            )
        seen: dict[str, PhotoFeatures] = dict(known)
        fresh: dict[str, PhotoFeatures] = {}
        assignments: dict[str, Assignment] = {}
        missing = list({e.photo_sha256: e for e in examples if e.photo_sha256 not in seen}.values())
        # One thread: it uses one core, and each further one would keep a heap of its own.
        with ThreadPoolExecutor(1, thread_name_prefix="see") as worker:
            for start in range(0, len(missing), AT_ONCE):
                some = missing[start : start + AT_ONCE]
                results = await asyncio.gather(*(self._look(each, worker) for each in some))
                for example, result in zip(some, results, strict=True):
                    if isinstance(result, Unusable):
                        assignments[example.photo_sha256] = Assignment("left out", str(result))
                    else:
                        fresh[example.photo_sha256] = result
                if len(fresh) >= KEPT_EVERY:
                    # A run that is started again goes on from here.
                    await self._keep(fresh)
                    seen, fresh = seen | fresh, {}
                await progress((start + len(some)) / len(missing))
        await self._keep(fresh)
        seen |= fresh
        found = [
            ExtractedExample(each, seen[each.photo_sha256]) for each in examples if each.photo_sha256 in seen
        ]
        return found, {e.id: assignments[e.photo_sha256] for e in examples if e.photo_sha256 in assignments}

    async def _keep(self, fresh: dict[str, PhotoFeatures]) -> None:
        async with self._database.transaction() as session:
            await repository.store_features(session, self._backbone, fresh)

    async def _look(self, example: Example, worker: ThreadPoolExecutor) -> PhotoFeatures | Unusable:
        try:
            photo = await self.fetch(example.photo_key)
        except (ObjectMissing, ValueError):
            return Unusable("photo missing")
        if hashlib.sha256(photo).hexdigest() != example.photo_sha256:
            return Unusable("photo changed")
        try:
            if self.reader is not None:
                return await self.reader.features(photo)
            return await asyncio.get_running_loop().run_in_executor(worker, self._features, photo)
        except TooManyCrashes as error:
            raise RunError(
                f"The photos cannot be looked at: {error}. The service's log says more."
            ) from error
        except (PhotoError, ModelError, Unreadable):
            return Unusable("photo unreadable")

    def _features(self, photo: bytes) -> PhotoFeatures:
        assert self._model is not None
        pixels = decode_for_model(photo, self._model.input_size)
        _, seen = self._model.predict(pixels[np.newaxis])
        return PhotoFeatures(seen[0].astype(np.float16).tobytes(), picture_hash(pixels))

    async def fetch(self, key: str) -> bytes:
        """Fetch a photo.

        Raises:
            ObjectMissing, ValueError: it is not there, or larger than any photo may be.
            StoreUnavailable: the photos cannot be reached.
        """
        try:
            return await self._store.get(key, max_bytes=MAX_BYTES)
        except ObjectStoreUnavailable as error:
            raise StoreUnavailable(
                "The photos cannot be reached: the object store is away. What was seen so far is kept; start "
                "the run again when the store is back."
            ) from error


def build_training_set(
    seen: Sequence[ExtractedExample],
    unusable: dict[str, Assignment],
    labels: Sequence[str],
    held: FrozenHoldout | None,
) -> TrainingSet:
    """Assign each example its role: it teaches, it judges, or it is left out."""
    examples = [each.example for each in seen]
    features = np.stack([each.photo.array() for each in seen]) if seen else np.zeros((0, 1))
    hashes = hashes_of([each.photo.picture_hash for each in seen])
    pictures = groups(hashes, features)
    shipped: Bools = np.zeros(len(seen), dtype=np.bool_)
    if held is not None and seen:
        shipped = near_duplicates(hashes, features, held.hashes, held.features[: len(held.hashes)]).max(
            axis=1, initial=False
        )
    targets = [single_label(each.labels, labels) for each in examples]
    candidates = [
        CandidateExample(
            id=example.id,
            target=target,
            group=int(picture),
            owner=example.confirmed_by,
            confirmed_at=example.confirmed_at,
            judges=example.side == "holdout",
            held_out=bool(is_shipped) or (held is not None and example.photo_sha256 in held.photos),
        )
        for example, target, picture, is_shipped in zip(examples, targets, pictures, shipped, strict=True)
    ]
    assignments = {
        each.id: assignment for each, assignment in zip(candidates, assign_roles(candidates), strict=True)
    }
    return TrainingSet(
        examples,
        features,
        np.array([-1 if target is None else target for target in targets], dtype=np.int64),
        pictures,
        {**unusable, **assignments},
    )
