"""What a model leaves to people counts when it is judged; and what its lineage says is ours."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from laundry_learning import dataset
from laundry_learning.artifacts import artifact_of
from laundry_learning.challenger import compare_heads
from laundry_learning.curation import Assignment
from laundry_learning.doubts import Doubts
from laundry_learning.fine_tuning.contract import Facts, Order
from laundry_learning.holdout import photos_from, read_holdout, write_beside
from laundry_learning.sandbox.launcher import LocalSandbox
from laundry_reading.manifest import Manifest
from laundry_reading.model import Model
from laundry_testing.models import colour_model, seeing_several, ship
from mlops.full.comparison import champions_doubts, compare, descended_from
from mlops.full.photos import find_holdout_photos
from mlops.jobs.champion import holdout_of
from mlops.jobs.training_set import TrainingSet

from .test_full_rules import example, fitted, serving


@pytest.mark.parametrize(
    ("known", "several", "good"), [(1.0, 0.0, True), (0.0, 0.0, False), (1.0, 1.0, False)]
)
def test_a_network_that_leaves_the_holdout_to_people_is_refused_whatever_branches_it_reads(
    known: float, several: float, good: bool
) -> None:
    champion, candidate = fitted("m1"), fitted("m2")
    # What each class looks like to them, plainly enough.
    plain = np.linalg.pinv(champion.head.weights).astype(np.float64)[:, np.arange(6) % 3].T * 12
    held = replace(champion.held, features=plain)
    doubting = replace(held, known=np.full(6, known), several=np.full(6, several))
    facts = Model.load(candidate.file)
    facts.several_threshold = 0.5
    # Twenty times as many photos of branches, of which the features alone are known.
    examples = [example(f"e{n}", branch_id="b9", side="holdout") for n in range(120)]
    features = np.tile(plain, (20, 1))
    training_set = TrainingSet(
        examples,
        features,
        np.arange(120) % 3,
        np.arange(120),
        {each.id: Assignment("judging") for each in examples},
    )
    verdict, _ = compare(
        serving(replace(champion, held=held)),
        replace(candidate, held=doubting, model=facts),
        training_set,
        {each.id: row for each, row in zip(examples, features, strict=True)},
        Doubts.of_none(6),
    )
    (accepted,) = (check for check in verdict.checks if check.name == "accepted")
    assert accepted.passed is good
    assert accepted.figures["accepted"] == (1 if good else 0)


async def test_a_champion_from_before_doubts_were_stored_is_asked_for_them_again(photos: Path) -> None:
    ship(photos, "m1", seeing_several(colour_model("m1"), threshold=0.0))
    write_beside(photos, *photos_from(photos))
    manifest = Manifest.from_json((photos / "manifest.json").read_bytes())
    entry = artifact_of(manifest, "held_out")
    assert entry is not None
    held = read_holdout((photos / entry.file).read_bytes(), entry, labels=len(dataset.LABELS))
    model = Model.load(photos / manifest.file)
    before = replace(fitted("m1"), file=(photos / manifest.file).read_bytes(), model=model, held=held)
    judging = find_holdout_photos(photos, held)
    stored = await champions_doubts(serving(before), judging, LocalSandbox())
    older = replace(before, held=replace(held, known=np.zeros(0), several=np.zeros(0)))
    read = await champions_doubts(serving(older), judging, LocalSandbox())
    assert np.array_equal(stored.known, read.known)
    assert np.array_equal(stored.several, read.several)
    assert len(read.known) == len(held.targets)
    assert read.several.all()


def test_a_refit_is_judged_by_the_doubts_of_the_network_that_it_keeps() -> None:
    champion = fitted("m1")
    doubting = replace(champion, held=replace(champion.held, known=np.full(6, 0.5)))
    examples = [example(f"e{n}", branch_id="b9", side="holdout") for n in range(4)]
    training_set = TrainingSet(
        examples,
        np.zeros((4, 3)),
        np.zeros(4, dtype=np.int64),
        np.arange(4),
        {each.id: Assignment("judging") for each in examples},
    )
    holdout = holdout_of(training_set, serving(doubting))
    assert holdout is not None
    assert holdout.doubts is not None
    assert holdout.doubts.asked.tolist() == [True] * 6 + [False] * 4
    compared = compare_heads(champion.head, champion.head, holdout)
    assert compared is not None
    assert compared.champion_doubts is compared.challenger_doubts is holdout.doubts
    without = replace(champion, held=replace(champion.held, known=np.zeros(0), several=np.zeros(0)))
    older = holdout_of(training_set, serving(without))
    assert older is not None
    assert older.doubts is None


def test_a_network_descends_from_what_the_order_said() -> None:
    facts = Facts(
        run_id="run-1", base_version="m1", base_sha256="a" * 64, started_from="m0", holdout_sha256="b" * 64,
        epochs=1, rate=0.1, most_photos=0, examples_learnt=9, examples_judging=0, examples_left_out={},
        examples_sha256="c" * 64,
    )  # fmt: skip
    order = Order(
        version="m2", data=Path("data"), input_size=32, view_size=24, epochs=1, rate=0.1, threads=1,
        photos=0, corrections=[], forbidden=[], facts=facts,
    )  # fmt: skip
    told = fitted("m2", network="colours", run_id="another", base_version="better", view_size=17)
    lineage = descended_from(told, order).manifest.lineage
    assert (lineage["network"], lineage["view_size"]) == ("colours", 24)
    assert {name: lineage[name] for name in facts.model_dump()} == facts.model_dump()
