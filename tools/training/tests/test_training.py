"""The parts of the training that need neither torch nor the photos."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laundry_learning import dataset
from laundry_learning.graph import read_head, replace_head
from laundry_learning.head import Head
from laundry_reading.manifest import Manifest
from laundry_reading.model import Model
from laundry_testing.models import COLOURS, averaged, colour_model
from laundry_training.auxiliary_heads import Layer, add_inputs, add_layer, hide_inputs
from laundry_training.card import write_card
from laundry_training.evaluate import (
    calibration_error,
    choose_threshold,
    evaluate,
    fit_temperature,
    log_loss,
    softmax,
)
from laundry_training.out_of_distribution import DrawnScore
from laundry_training.piles import PileScore

MODELS = Path(__file__).parents[3] / "models"


def some_logits(photos: int, sharpness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax at temperature `sharpness` is exactly the chance of each class."""
    random = np.random.default_rng(seed)
    honest = random.normal(0, 2.0, (photos, len(dataset.LABELS)))
    draws = random.random((photos, 1))
    targets = (softmax(honest).cumsum(axis=1) < draws).sum(axis=1)
    return honest * sharpness, targets


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found(sharpness: float) -> None:
    logits, targets = some_logits(6000, sharpness)
    assert fit_temperature(logits, targets) == pytest.approx(sharpness, rel=0.1)
    calibrated = softmax(logits / fit_temperature(logits, targets))
    assert calibration_error(calibrated, targets) < 0.03
    assert log_loss(calibrated, targets) <= log_loss(softmax(logits), targets) + 1e-3  # the grid is that fine


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), wanted=st.floats(0.5, 0.99), photos=st.integers(1, 200))
def test_the_threshold_keeps_its_word_and_takes_all_it_can(seed: int, wanted: float, photos: int) -> None:
    logits, targets = some_logits(photos, 1.0, seed)
    probs = softmax(logits)
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == targets
    threshold = choose_threshold(probs, targets, wanted)
    taken = confidence >= threshold
    if taken.any():
        assert right[taken].mean() >= wanted
    for lower in confidence[confidence < threshold]:
        assert right[confidence >= lower].mean() < wanted


def test_the_figures_are_counted_right() -> None:
    targets = np.repeat(np.arange(10), 20)
    said = targets.copy()
    said[:5] = 1  # a quarter of the dresses are taken for hats
    logits = np.full((200, 10), 0.0)
    logits[np.arange(200), said] = 4.0
    logits[np.arange(200), targets] += 2.0
    households = [f"h{index % 12}" for index in range(200)]
    result = evaluate(logits, targets, households, labels=dataset.LABELS, other_logits=np.zeros((7, 10)))
    assert result.top1 == pytest.approx(195 / 200)
    assert result.top2 == 1.0
    assert result.top1_low < result.top1 < result.top1_high
    assert result.households == 12
    dress, hat = result.classes[0], result.classes[1]
    assert (dress.photos, dress.recall, dress.precision) == (20, 0.75, 1.0)
    assert (hat.recall, hat.precision) == (1.0, 0.8)
    assert result.confusion[0][1] == 5
    assert (result.other_reviewed, result.other_photos) == (1.0, 7)
    assert sum(map(sum, result.confusion)) == 200


def only_red() -> Layer:
    """Tells red from the other colours by their means."""
    first = np.zeros((6, 1))
    first[:3, 0] = 20.0, -20.0, -20.0
    return Layer(first, np.zeros(1), np.ones(1), np.full(1, -5.0))


def test_a_file_tells_what_it_hardly_knows_and_keeps_telling_after_a_refit() -> None:
    # Of the colours only red is of the classes.
    file = hide_inputs(add_layer(add_inputs(averaged(colour_model("m1"))), only_red(), "known"))
    first = Model.load(file.SerializeToString())
    head = read_head(file.SerializeToString())
    refitted = Model.load(
        replace_head(file.SerializeToString(), Head(head.weights * 1.5, head.bias), version="m2")
    )
    for model in (first, refitted):
        pixels = np.zeros((3, model.input_size, model.input_size, 3), dtype=np.uint8)
        pixels[:] = np.array([COLOURS[label] for label in model.labels])[:, None, None]
        seen = model.predict_all(pixels)
        assert seen.known[0] > 0.9
        assert seen.known[1:].max() < 0.1
        each = zip(seen.probs, seen.known.tolist(), strict=True)
        reviews = [model.interpret(probs, known).needs_review for probs, known in each]
        assert reviews == [False, True, True]


def test_sureness_counts_when_the_threshold_is_chosen() -> None:
    logits, targets = some_logits(500, 1.0)
    known = np.where(np.arange(500) % 2 == 0, 1.0, 0.01)
    plain = evaluate(
        logits, targets, [str(i % 25) for i in range(500)], labels=dataset.LABELS, other_logits=logits
    )
    doubted = evaluate(
        logits,
        targets,
        [str(i % 25) for i in range(500)],
        labels=dataset.LABELS,
        other_logits=logits,
        known=np.ones(500),
        other_known=known,
    )
    assert doubted.accepted == plain.accepted
    assert doubted.other_reviewed > plain.other_reviewed


def test_the_labels_are_alphabetical_and_ten() -> None:
    assert list(dataset.LABELS) == sorted(set(dataset.LABELS))
    assert len(dataset.LABELS) == 10


@settings(deadline=None, max_examples=40)
@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=60))
def test_households_are_held_out_whole_and_the_draw_is_repeatable(sizes: list[int]) -> None:
    photos = [
        dataset.Photo(f"{household}/{number}.jpg", str(household), "hat", 1)
        for household, size in enumerate(sizes)
        for number in range(size)
    ]
    chosen = dataset.choose_holdout(photos, at_least=100, largest=160)
    assert chosen == dataset.choose_holdout(list(reversed(photos)), at_least=100, largest=160)
    assert len(chosen) == len(set(chosen))
    counts = Counter(photo.household for photo in photos)
    assert all(counts[household] <= 160 for household in chosen)
    available = sum(size for size in sizes if size <= 160)
    assert sum(counts[household] for household in chosen) >= min(100, available)


def test_the_frozen_households_are_read_without_their_comments(tmp_path: Path) -> None:
    file = tmp_path / "households.txt"
    file.write_text("# heading\n12\n\n7 # kept\n")
    assert dataset.holdout_households(file) == {"12", "7"}
    assert len(dataset.holdout_households()) >= 20


def test_photos_are_listed_with_their_classes(tmp_path: Path) -> None:
    (tmp_path / "clothing").mkdir()
    (tmp_path / "clothing" / "photos.csv").write_text(
        "path,sender_id,label,kids\na/1.jpg,5,hat,False\nb/2.jpg,6,polo,True\n"
    )
    assert dataset.read_photos(tmp_path) == [
        dataset.Photo("a/1.jpg", "5", "hat", 1),
        dataset.Photo("b/2.jpg", "6", "polo", dataset.UNKNOWN),
    ]


def test_without_photos_the_command_says_what_to_set(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "laundry_training", "--data", str(tmp_path / "nowhere")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "300"},
    )
    assert done.returncode == 2
    assert "--data" in done.stdout
    assert "nowhere" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_training_asks_for_its_photos_before_it_imports_torch() -> None:
    code = "import sys, laundry_training.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_the_card_tells_the_figures_it_was_given() -> None:
    logits, targets = some_logits(400, 1.0)
    households = [str(index % 25) for index in range(400)]
    result = evaluate(logits, targets, households, labels=dataset.LABELS, other_logits=logits[:50])
    manifest = Manifest.model_validate(
        {
            **json.loads((MODELS / "manifest.json").read_text(encoding="utf-8")),
            "version": "9.9.9",
            "created_at": datetime(2026, 1, 2, tzinfo=UTC),
        }
    )
    pile = PileScore(
        "two on one",
        True,
        30,
        multiple=0.83,
        reviewed=0.9,
        claimed=0.07,
        listed=0.31,
        counted=0.62,
        right=0.71,
        found=0.72,
    )
    card = write_card(manifest, result, [pile], [DrawnScore("a drawn boat", 40, 0.85)])
    assert "| a drawn boat | 40 | 85% |" in card
    assert f"| other things, photos of held-out households | 50 | {result.other_reviewed:.0%} |" in card
    assert "| two on one | 30 | 83% | 90% | 7% |" in card
    assert "| two on one | 31% | 62% | 71% | 72% |" in card
    assert "laundry-9.9.9" in card
    assert f"{result.top1:.1%}" in card
    assert all(f"| {score.label} | {score.photos} |" in card for score in result.classes)
    assert card.count("| **") == len(dataset.LABELS)


def test_the_shipped_model_came_from_this_training_and_is_good_enough() -> None:
    manifest = Manifest.from_json((MODELS / "manifest.json").read_bytes())
    metrics, lineage = manifest.metrics, manifest.lineage
    assert tuple(manifest.labels) == dataset.LABELS
    assert metrics["households"] >= 20
    assert metrics["photos"] >= 500
    assert metrics["top1"] >= 0.8
    assert lineage["holdout_sha256"] == dataset.holdout_sha256()
    card = (MODELS / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert manifest.sha256 in card
    for score in metrics["classes"]:
        assert f"| {score['label']} | {score['photos']} | {score['recall']:.1%} |" in card


def test_another_last_layer_leaves_the_layer_that_tells_strangers() -> None:
    random = np.random.default_rng(7)
    layer = Layer(random.normal(size=(6, 4)), random.normal(size=4), random.normal(size=4), np.zeros(1))
    model = add_layer(add_inputs(averaged(colour_model("m1"))), layer, "known")
    image = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    before = Model.load(model.SerializeToString())
    file = replace_head(model.SerializeToString(), Head(np.eye(3), np.zeros(3)), version="m2")
    np.testing.assert_array_equal(Model.load(file).predict_all(image).known, before.predict_all(image).known)
    assert (before.predict_all(image).known < 1).all()


def test_the_training_imports_only_what_it_installs() -> None:
    code = """
import json, sys
from importlib.metadata import packages_distributions
before = set(sys.modules)
import laundry_training.__main__, laundry_training.measure_refits, laundry_learning.fine_tuning.contract
# Many distributions share the namespace google; here it is protobuf's.
names = {name.partition(".")[0] for name in set(sys.modules) - before} - {"google"}
print(json.dumps(sorted({each for name in names for each in packages_distributions().get(name, ())})))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    text = (Path(__file__).parents[1] / "training-requirements.txt").read_text()
    installed = set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))
    own = {"laundry-learning", "laundry-reading", "laundry-training"}
    assert {each.lower().replace("_", "-") for each in json.loads(done.stdout)} <= installed | own
