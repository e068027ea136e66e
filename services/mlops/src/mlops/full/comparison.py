"""Champion against candidate: two networks, each with its own features of the same photos."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from laundry_learning.artifacts import (
    HOLDOUT_FIELD,
    REHEARSAL_FIELD,
    WEIGHTS_FIELD,
    artifact_of,
    with_artifact,
)
from laundry_learning.challenger import TrainingData
from laundry_learning.curation import weights
from laundry_learning.doubts import Doubts
from laundry_learning.fine_tuning.contract import Order
from laundry_learning.fine_tuning.recipe import Recipe, wanted_times
from laundry_learning.graph import replace_priors
from laundry_learning.head import Examples, Floats, Head
from laundry_learning.holdout import BrokenHoldout, FrozenHoldout, extract, pack, read_holdout
from laundry_learning.judging import Predictions, Thresholds, Verdict, check_gain, check_other_things, judge
from laundry_learning.lineage import other_reviewed_of, training_known_of
from laundry_learning.priors import applied_to_all, branch_priors, mix_of
from laundry_learning.sandbox.client import SandboxClient, TooManyCrashes, Unreadable
from laundry_learning.sandbox.launcher import Sandbox
from laundry_reading.manifest import Manifest
from laundry_reading.model import Model
from laundry_reading.priors import BranchPriors
from laundry_reading.storage import MAX_MODEL_BYTES
from mlops.full.photos import HoldoutPhotos
from mlops.full.told import told_by
from mlops.full.untrusted import ModelFacts, OutputFolder, Rejected, facts_of
from mlops.jobs.champion import Champion
from mlops.jobs.training_set import TrainingSet
from mlops.runs import RunError


@dataclass(frozen=True)
class Candidate:
    """A new network, complete as a shipped one: ``beside`` are the files beside the model's, by key."""

    manifest: Manifest
    file: bytes
    beside: dict[str, bytes]
    model: ModelFacts | Model
    head: Head
    held: FrozenHoldout


async def read_candidate(
    folder: OutputFolder, version: str, champion: Champion, holdout_photos: HoldoutPhotos, sandbox: Sandbox
) -> Candidate:
    """Read what the trainer gave back, and the holdout's features with it.

    It is not trusted: nothing of it runs in this process.

    Raises:
        RunError: it is not whole, not what it says, or cannot be judged against the champion.
    """
    try:
        manifest, file, facts, beside = read_output(folder, version)
        if facts.labels != champion.model.labels:
            raise RunError("The trainer's model says other classes than the champion.")
        async with SandboxClient(sandbox, file) as reader:
            await reader.try_model()
            head = await reader.head(file, labels=len(facts.labels))
            for field, photos in (
                (HOLDOUT_FIELD, holdout_photos.judging()),
                (REHEARSAL_FIELD, holdout_photos.rehearsal()),
            ):
                judges = field == HOLDOUT_FIELD
                arrays = await extract(reader, photos, judge=judges)
                if not len(arrays["targets"]):
                    raise RunError("There are no training photos to judge by, or none to rehearse.")
                entry, beside_file = pack(manifest, field, arrays)
                beside[entry.key], manifest = beside_file, with_artifact(manifest, field, entry)
                if judges:
                    held = read_holdout(beside_file, entry, labels=len(facts.labels))
    except (Rejected, Unreadable, TooManyCrashes, ValueError, BrokenHoldout) as error:
        raise RunError(f"What the trainer made cannot be used: {error}") from error
    if champion.held is None or held.order != champion.held.order:
        raise RunError("The trainer's model was read on other photos than those that judge the champion.")
    return Candidate(manifest, file, beside, facts, head, held)


def read_output(folder: OutputFolder, version: str) -> tuple[Manifest, bytes, ModelFacts, dict[str, bytes]]:
    """Read manifest, model, what it says of itself, and weights.

    Raises:
        Rejected, pydantic.ValidationError: it is not what a trainer may give back.
    """
    manifest = folder.manifest()
    if manifest.version != version:
        raise Rejected(f"it is called {manifest.version}, and not {version}")
    file = folder.read(manifest.file, most=MAX_MODEL_BYTES)
    if hashlib.sha256(file).hexdigest() != manifest.sha256:
        raise Rejected("the model is not the file that its manifest names")
    facts = facts_of(file, manifest)
    weights = artifact_of(manifest, WEIGHTS_FIELD)
    if weights is None:
        raise Rejected("it has no weights beside it, from which others would start")
    beside = folder.read(weights.file, most=MAX_MODEL_BYTES)
    if weights.version != version or not weights.matches(beside):
        raise Rejected("the weights are not the file that the manifest names")
    try:
        told = told_by(manifest)
    except ValueError as error:
        raise Rejected(f"its manifest says what no trainer may: {error}") from error
    # The trainer does not decide what it descends from, nor what else a manifest may hold.
    known = {name: getattr(manifest, name) for name in Manifest.model_fields}
    manifest = Manifest.model_validate({**known, **told, WEIGHTS_FIELD: weights.model_dump()})
    return manifest, file, facts, {weights.key: beside}


def descended_from(candidate: Candidate, order: Order) -> Candidate:
    """Return the candidate with what the order said in its lineage, whatever the trainer says of it."""
    facts = {**order.facts.model_dump(), "view_size": order.view_size}
    lineage = {**candidate.manifest.lineage, **facts}
    return replace(candidate, manifest=candidate.manifest.model_copy(update={"lineage": lineage}))


def knowing_branches(
    candidate: Candidate, taught: TrainingData, rehearsal: Examples | None, recipe: Recipe
) -> Candidate:
    """Return the candidate with priors of the branches whose photos taught it.

    An epoch has every training photo once (their classes are as those of the rehearsal, which was drawn from
    them) and corrections more often.
    """
    labels = len(candidate.model.labels)
    own = weights(taught.owners)
    targets, shares = taught.targets, np.array(own)
    if rehearsal is not None and len(rehearsal.targets):
        known = training_known_of(candidate.manifest)
        known = len(rehearsal.targets) if known is None else known
        shares = wanted_times(known, shares, recipe)
        targets = np.concatenate([targets, rehearsal.targets])
        shares = np.concatenate([shares, rehearsal.weights * (known / rehearsal.weights.sum())])
    mix = mix_of(targets, shares, labels=labels)
    return _with_priors(candidate, branch_priors(taught.branches, taught.targets, mix))


def knowing_what_was_known(candidate: Candidate, champion: Champion) -> Candidate:
    """Return the candidate with the champion's priors of branches, which have been judged.

    For a run that no new example judges; the next refit that has some to learn takes up what all tell.
    """
    return _with_priors(candidate, champion.model.priors)


def _with_priors(candidate: Candidate, priors: BranchPriors) -> Candidate:
    file = replace_priors(candidate.file, priors)
    sha256 = hashlib.sha256(file).hexdigest()
    lineage = {**candidate.manifest.lineage, "branches_known": len(priors)}
    update = {"sha256": sha256, "file_bytes": len(file), "lineage": lineage}
    return replace(
        candidate,
        manifest=candidate.manifest.model_copy(update=update),
        file=file,
        model=facts_of(file, candidate.manifest.model_copy(update=update)),
    )


async def champions_doubts(champion: Champion, holdout_photos: HoldoutPhotos, sandbox: Sandbox) -> Doubts:
    """Return why the champion leaves the photos that judge to people: as stored, or read once more.

    Raises:
        RunError: they cannot be read with it.
    """
    assert champion.held is not None
    threshold = champion.model.several_threshold
    if (stored := champion.held.doubts(threshold)) is not None:
        return stored
    try:
        async with SandboxClient(sandbox, champion.file) as reader:
            seen = [await reader.everything(each.photo) for each in holdout_photos.judging()]
    except (Unreadable, TooManyCrashes) as error:
        raise RunError(f"The photos that judge cannot be read with the champion: {error}") from error
    return Doubts(
        np.array([each.known for each in seen]), np.array([each.several > threshold for each in seen])
    )


def compare(
    champion: Champion,
    candidate: Candidate,
    training_set: TrainingSet,
    seen: Mapping[str, Floats],
    doubts: Doubts,
) -> tuple[Verdict, Predictions]:
    """Judge the candidate; also returns both models' predictions for the frozen holdout.

    Args:
        training_set: examples as the champion sees them; those with the role ``judging`` judge.
        seen: these as the candidate sees them, by id.
        doubts: why the champion leaves photos of the frozen holdout to people.
    """
    assert champion.held is not None
    candidates_doubts = candidate.held.doubts(candidate.model.several_threshold)
    assert candidates_doubts is not None
    places = [place for place in training_set.of("judging") if training_set.examples[place].id in seen]
    stands = [place for place in places if training_set.examples[place].side == "holdout"]
    aside = [place for place in places if training_set.examples[place].side != "holdout"]
    branches = sorted({training_set.examples[place].branch_id for place in stands})
    first = int(champion.held.households.max()) + 1
    own = [first + branches.index(training_set.examples[place].branch_id) for place in stands]
    shipped = Predictions(
        champion.head.probabilities(champion.held.features),
        candidate.head.probabilities(candidate.held.features),
        champion.held.targets,
        champion.held.households,
        doubts,
        candidates_doubts,
    )

    def said_of(places: list[int], households: list[int]) -> Predictions:
        features = np.stack([seen[training_set.examples[place].id] for place in places])
        of = [training_set.examples[place].branch_id for place in places]
        return Predictions(
            applied_to_all(
                champion.model.priors, champion.head.probabilities(training_set.features[places]), of
            ),
            applied_to_all(candidate.model.priors, candidate.head.probabilities(features), of),
            training_set.targets[places],
            np.array(households, dtype=np.int64),
        )

    holdout = _joined(shipped, said_of(stands, own)) if stands else shipped
    corrections = said_of(aside, [int(training_set.groups[place]) for place in aside]) if aside else None
    verdict = judge(
        holdout=holdout,
        corrections=corrections,
        labels=champion.model.labels,
        thresholds=Thresholds(champion.model.threshold, candidate.model.threshold),
        branches=[training_set.examples[place].branch_id for place in aside],
    )
    before, after = other_reviewed_of(champion.root_manifest), other_reviewed_of(candidate.manifest)
    if before is not None and after is not None:
        verdict = verdict.also(check_other_things(before, after))
    if corrections is None:
        gain = check_gain(holdout, "frozen holdout, as too few new examples could stand aside")
        verdict = verdict.also(gain)
    return verdict, holdout


def _joined(a: Predictions, b: Predictions) -> Predictions:
    more = len(b.targets)
    return Predictions(
        np.vstack([a.champion, b.champion]),
        np.vstack([a.challenger, b.challenger]),
        np.concatenate([a.targets, b.targets]),
        np.concatenate([a.households, b.households]),
        # Of branches' photos the features alone are stored.
        None if a.champion_doubts is None else a.champion_doubts.followed_by(more),
        None if a.challenger_doubts is None else a.challenger_doubts.followed_by(more),
    )
