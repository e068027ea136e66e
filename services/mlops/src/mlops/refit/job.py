"""One refit from its queued row to its decision."""

import asyncio
import hashlib
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from laundry_learning.challenger import Challenger, TrainingData, compare_heads, fit_challenger
from laundry_learning.cost import check_cost, compare_costs
from laundry_learning.graph import replace_head, replace_priors
from laundry_learning.lineage import RefitLineage, first_version_of
from laundry_learning.metrics import metrics_of
from laundry_learning.sandbox.launcher import sandbox_of
from laundry_reading.model import Model
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore
from mlops.jobs.champion import (
    Champion,
    Preparation,
    careless_checks,
    careless_summaries,
    holdout_of,
    taught_by,
)
from mlops.jobs.run import Run
from mlops.jobs.training_set import TrainingSet
from mlops.runs import RunError
from mlops.service.registry import Registry
from mlops.settings import Settings

LARGEST_GAP = 0.01
SEEN = 0.7


class NothingToLearn(Exception):
    """The run succeeds without a model; the message says why."""


class Refit:
    """The steps of one run."""

    def __init__(
        self, run: Run, settings: Settings, database: Database, store: ObjectStore, registry: Registry
    ) -> None:
        self._run = run
        self._settings = settings
        self._registry = registry
        self._preparation = Preparation(run, database, store, registry, sandbox_of(settings.sandbox_socket))

    async def run(self) -> None:
        """Fetch, curate, fit, judge, store, decide.

        Raises:
            RunError, ObjectStoreUnavailable, mlops.jobs.run.NotRunning: how it can end otherwise.
        """
        champion = await self._preparation.champion()
        manifest, file = champion.manifest, champion.file
        labels = champion.model.labels
        training_set = await self._preparation.extract(
            champion, self._seeing, most=self._settings.refit_max_examples
        )
        try:
            chosen = await self._learn(training_set, champion)
        except NothingToLearn as error:
            await self._run.finish_without_model(training_set.assignments, str(error))
            return
        version = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-refit"
        candidate = await asyncio.to_thread(self._export, file, chosen, version)
        costs = await asyncio.to_thread(compare_costs, file, candidate)
        verdict = chosen.verdict.also(check_cost(*costs))
        holdout = compare_heads(champion.head, chosen.head, holdout_of(training_set, champion))
        new = manifest.model_copy(
            update={
                "version": version,
                "file": f"laundry-{version}.onnx",
                "sha256": hashlib.sha256(candidate).hexdigest(),
                "file_bytes": len(candidate),
                "metrics": metrics_of(holdout, labels),
                "lineage": self._lineage(champion, training_set, chosen).as_json(),
                "created_at": datetime.now(UTC).replace(microsecond=0),
            }
        )
        await self._registry.upload(new, candidate)
        await self._run.finish(manifest.version, new, verdict, training_set.assignments, source="refit")

    async def _learn(self, training_set: TrainingSet, champion: Champion) -> Challenger:
        taught, learnt = taught_by(training_set, champion.learnt), champion.learnt
        self._check_enough(taught, training_set)
        quality = await self._preparation.leave_out_careless(champion, training_set, taught)
        careless = careless_summaries(quality)
        remaining = [
            place for place in training_set.of("learnt") if training_set.examples[place].id not in learnt
        ]
        if not remaining:
            why = "the champion has learnt from every usable example already"
            if careless:
                why = f"{'; '.join(careless)}. A person should look at them before anything learns"
            raise NothingToLearn(f"no model is made: {why}")
        if len({int(training_set.targets[place]) for place in training_set.of("learnt")}) < 2:
            raise NothingToLearn("no model is made: without careless labels only one kind of garment is left")
        chosen = await asyncio.to_thread(
            fit_challenger,
            champion.base,
            champion.head,
            taught,
            rehearsal=champion.rehearsal,
            holdout=holdout_of(training_set, champion),
            labels=champion.model.labels,
            found=quality,
            threshold=champion.model.threshold,
            champion_priors=champion.model.priors,
        )
        await self._run.report(0.9)
        await self._run.note(
            f"fitted on {int(chosen.used.sum())} examples, pull {chosen.pull:g}; "
            f"knows what {len(chosen.priors)} branches send"
        )
        return replace(chosen, verdict=chosen.verdict.also(*careless_checks(quality)))

    def _check_enough(self, taught: TrainingData, training_set: TrainingSet) -> None:
        need, kinds = self._settings.refit_min_training, len(set(taught.targets.tolist()))
        if len(taught.targets) >= need and kinds >= 2:
            return
        why = Counter(
            assignment.reason for assignment in training_set.assignments.values() if assignment.reason
        )
        left_out = "".join(f"; {count} left out: {reason}" for reason, count in sorted(why.items()))
        aside = len(training_set.of("judging"))
        raise RunError(
            f"Too few examples: {len(taught.targets)} to learn from (at least {need}, of two kinds or more; "
            f"there {'is' if kinds == 1 else 'are'} {kinds}); {aside} are of branches that only judge"
            f"{left_out}. Confirm more tasks, then start the run again."
        )

    @staticmethod
    def _export(file: bytes, chosen: Challenger, version: str) -> bytes:
        head = chosen.head
        candidate = replace_priors(replace_head(file, head, version=version), chosen.priors)
        served = Model.load(candidate)
        size = served.input_size
        images = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), dtype=np.uint8)
        probs, features = served.predict(images)
        gap = float(np.abs(probs - head.probabilities(features.astype(np.float64))).max())
        if gap > LARGEST_GAP:
            raise RunError(f"The new file differs from what was fitted by {gap:.3f} in a probability.")
        return candidate

    def _lineage(self, champion: Champion, training_set: TrainingSet, chosen: Challenger) -> RefitLineage:
        base = champion.manifest
        return RefitLineage(
            run_id=self._run.id,
            base_version=base.version,
            base_sha256=base.sha256,
            first_version=first_version_of(base) or base.version,
            first_sha256=champion.backbone,
            examples=training_set.counts(),
            pull_towards_first=chosen.pull,
            branches_known=len(chosen.priors),
        )

    async def _seeing(self, share: float) -> None:
        await self._run.report(share * SEEN)
