"""The parts of a full run that need neither torch nor servers."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laundry_learning.challenger import TrainingData
from laundry_learning.curation import Assignment
from laundry_learning.doubts import Doubts
from laundry_learning.fine_tuning.recipe import Recipe
from laundry_learning.graph import read_head, replace_priors
from laundry_learning.head import whole
from laundry_learning.holdout import FrozenHoldout
from laundry_learning.priors import PRIOR_PHOTOS
from laundry_learning.weights import write
from laundry_reading.model import Model
from laundry_reading.priors import BranchPriors
from laundry_testing.models import colour_model, manifest_of, ship
from mlops.examples import Example
from mlops.full.comparison import Candidate, compare, knowing_branches, knowing_what_was_known
from mlops.full.job import ASIDE
from mlops.full.photos import ASIDE_LEAST, find_holdout_photos, stand_aside
from mlops.full.requirements import explain, lacking_modules, lacking_photos, lacking_weights
from mlops.jobs.champion import Champion, quality_of_judges
from mlops.jobs.training_set import TrainingSet
from mlops.runs import RunError

ONLY_FIRST = BranchPriors({"b1": [8, 0.125, 0.125]}, labels=3)
MODELS = Path(__file__).parents[3] / "models"


async def test_what_is_missing_is_said_with_the_way_to_get_it(tmp_path: Path) -> None:
    manifest = ship(tmp_path, "bare-1")
    [weights] = lacking_weights(manifest)
    assert "bare-1 has no weights" in weights
    assert "make model" in weights
    assert lacking_weights(write(tmp_path, {"a.weight": np.ones((2, 2))})) == []
    assert "--training-data" in lacking_photos(None)[0]
    assert "photos.csv does not exist" in lacking_photos(tmp_path)[0]
    (tmp_path / "clothing").mkdir()
    (tmp_path / "clothing" / "photos.csv").touch()
    assert lacking_photos(tmp_path) == []
    assert "cannot be run" in (await lacking_modules(tmp_path / "nowhere"))[0]
    assert "not usable" in (await lacking_modules(Path("/bin/false")))[0]
    assert explain([weights]).startswith("A full training cannot run here. The model bare-1")


async def test_an_interpreter_is_asked_for_what_it_lacks(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho torch onnxscript\n")
    python.chmod(0o755)
    [said] = await lacking_modules(python)
    assert "has no torch and no onnxscript" in said
    assert "make train-setup" in said
    # This one has the project, whatever else.
    assert "laundry_reading" not in " ".join(await lacking_modules(Path(sys.executable)))


def test_the_service_and_its_jobs_import_nothing_of_the_training() -> None:
    code = (
        "import sys, mlops.app, mlops.full.job, mlops.refit.job; "
        "sys.exit(bool({'torch', 'laundry_training'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def example(example_id: str, **changes: Any) -> Example:
    values: dict[str, Any] = {
        "id": example_id,
        "task_id": example_id,
        "branch_id": "b1",
        "side": "learning",
        "photo_key": "photos/1",
        "photo_sha256": "a" * 64,
        "read_labels": [],
        "model_version": None,
        "labels": [],
        "corrected": False,
        "confirmed_by": "owner-1",
        "confirmed_at": datetime(2026, 5, 1, tzinfo=UTC),
    }
    return Example(**values | changes)


def fitted(version: str, **lineage: object) -> Candidate:
    """A candidate of three classes, as if trained."""
    data = colour_model(version)
    manifest = manifest_of(version, data).model_copy(update={"lineage": lineage})
    held = FrozenHoldout(
        np.zeros((6, 3)),
        np.arange(6) % 3,
        np.arange(6),
        np.zeros((6, 32), np.uint8),
        (),
        frozenset(),
        known=np.ones(6),
        several=np.zeros(6),
    )
    return Candidate(manifest, data, {}, Model.load(data), read_head(data), held)


def test_a_network_knows_its_branches_by_the_mix_of_its_epochs() -> None:
    # 900 photos of three kinds alike; 100 corrections, all of one kind, are seen three times an epoch.
    taught = TrainingData(
        np.zeros((100, 3)),
        np.ones(100, dtype=np.int64),
        np.arange(100),
        ["owner"] * 100,
        ["b1"] * 50 + ["b2"] * 50,
        np.ones(100, dtype=bool),
    )
    rehearsal = whole(np.zeros((30, 3)), np.arange(30) % 3)
    before = fitted("m1", training_known=900)
    after = knowing_branches(before, taught, rehearsal, Recipe(epochs=1, rate=0.1, view=96))
    assert after.manifest.lineage["branches_known"] == len(after.model.priors) == 2
    assert Model.load(after.file, sha256=after.manifest.sha256).version == "m1"
    assert after.manifest.file_bytes == len(after.file)
    shares = np.array([301, 601, 301]) / 1203
    sent = (np.array([0, 50, 0]) + PRIOR_PHOTOS * shares) / (50 + PRIOR_PHOTOS)
    assert after.model.priors.applied(shares, "b1") == pytest.approx(sent, rel=1e-3)
    # No example that teaches, no branch that is known.
    nothing = knowing_branches(
        before, taught.some(np.zeros(100, dtype=bool)), rehearsal, Recipe(epochs=1, rate=0.1, view=96)
    )
    assert len(nothing.model.priors) == 0


def test_a_network_that_nothing_new_judges_keeps_what_was_known_of_branches() -> None:
    champion = fitted("m1")
    knowing = replace(champion, model=Model.load(replace_priors(champion.file, ONLY_FIRST)))
    after = knowing_what_was_known(fitted("m2"), serving(knowing))
    assert after.model.version == "m2"
    assert after.model.priors.to_json() == ONLY_FIRST.to_json()
    assert after.manifest.lineage["branches_known"] == 1


def test_champion_and_network_are_judged_as_they_read_the_branch() -> None:
    champion, candidate = fitted("m1"), fitted("m2")
    known = replace(candidate, model=Model.load(replace_priors(candidate.file, ONLY_FIRST)))
    # The features say nothing; the branch sends the first kind only.
    examples = [example(f"e{n}", branch_id="b1") for n in range(12)]
    training_set = TrainingSet(
        examples,
        np.zeros((12, 3)),
        np.zeros(12, dtype=np.int64),
        np.arange(12),
        {each.id: ASIDE for each in examples},
    )

    def gained(of_champion: Candidate, of_candidate: Candidate) -> float:
        seen = {each.id: np.zeros(3) for each in examples}
        verdict, _ = compare(serving(of_champion), of_candidate, training_set, seen, Doubts.of_none(6))
        (gain,) = (check for check in verdict.checks if check.name == "own gain")
        change = gain.figures["log_loss_change"]
        assert isinstance(change, float)
        return -change

    assert gained(champion, known) > 0.5
    assert gained(champion, candidate) == pytest.approx(0)
    assert gained(known, known) == pytest.approx(0)
    assert gained(known, candidate) < -0.5


def serving(of: Candidate) -> Champion:
    """A champion that has not learnt since it was trained."""
    assert isinstance(of.model, Model)
    return Champion(
        of.manifest, of.file, of.manifest, of.file, of.model, of.head, of.head, of.held, None, set()
    )


def test_who_labels_carelessly_in_a_branch_that_judges_is_told_too() -> None:
    champion = serving(fitted("m1"))
    # What each class looks like to it, plainly enough.
    seen = np.linalg.pinv(champion.head.weights).astype(np.float64)[:, np.arange(60) % 3].T * 12
    right = champion.head.probabilities(seen).argmax(axis=1)
    wrong = (right + 1) % 3
    examples = [
        example(f"e{n}", branch_id="b9", side="holdout", confirmed_by="good" if n < 30 else "bad")
        for n in range(60)
    ]
    training_set = TrainingSet(
        examples,
        seen,
        np.concatenate([right[:30], wrong[30:]]),
        np.arange(60),
        {each.id: Assignment("judging") for each in examples},
    )
    found = quality_of_judges(champion, training_set)
    assert {owner: each.careless for owner, each in found.items()} == {"good": False, "bad": True}


@settings(deadline=None, max_examples=80)
@given(groups=st.lists(st.integers(0, 60), max_size=150), salt=st.integers(0, 10**6))
def test_pictures_stand_aside_whole_and_only_if_enough_do(groups: list[int], salt: int) -> None:
    ids = [f"{salt}-{number:04}" for number in range(len(groups))]
    aside = stand_aside(ids, groups)
    assert aside == stand_aside(ids, groups)
    assert not any(aside) or sum(aside) >= ASIDE_LEAST
    taught = {group for group, each in zip(groups, aside, strict=True) if not each}
    assert not taught & {group for group, each in zip(groups, aside, strict=True) if each}


def test_of_many_examples_about_a_fifth_stands_aside() -> None:
    aside = stand_aside([f"e{number}" for number in range(2000)], list(range(2000)))
    assert 300 < sum(aside) < 500


def test_a_champion_that_does_not_tell_who_judges_it_cannot_be_challenged(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="does not tell which photos judge it"):
        find_holdout_photos(tmp_path, None)
