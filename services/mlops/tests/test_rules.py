"""What an example teaches, what a run may become, who wins: the rules, without servers."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laundry_reading.manifest import Manifest
from laundry_reading.model import Model
from laundry_testing.models import LABELS as LABELS3
from laundry_testing.models import averaged, colour_model, manifest_of, photo_of, ship
from mlops.examples import FIRST_BRANCHES, HOLDOUT_SHARE, side_of, single_label
from mlops.heldout import entry_of, held_out_of
from mlops.refit import held_out
from mlops.refit.graph import NoLinearHead, read_head, replace_head
from mlops.refit.head import (
    LEAST_SPREAD,
    PULL,
    Head,
    cross_fit,
    fit,
    log_loss,
    softmax,
    temperature_of,
    whole,
)
from mlops.runs import STATUSES, may_become, sources_of
from mlops.training.beside import Layer, add_inputs, add_layer

LABELS = ("a", "b", "c")


@pytest.mark.parametrize(
    ("labels", "number"),
    [
        (["b"], 1),
        (["b", "b"], 1),
        (["b", "c"], None),
        (["towel"], None),
    ],
)
def test_only_photos_of_one_known_kind_teach(labels: list[str], number: int | None) -> None:
    assert single_label([{"label": each, "count": 3} for each in labels], LABELS) == number


def test_a_branch_stands_aside_for_ever_but_not_among_the_first() -> None:
    names = [f"branch-{number}" for number in range(4000)]
    assert {side_of(name, before) for name in names[:100] for before in range(FIRST_BRANCHES)} == {"learning"}
    sides = [side_of(name, FIRST_BRANCHES) for name in names]
    assert sides == [side_of(name, 3000) for name in names]
    assert abs(sides.count("holdout") / len(sides) - HOLDOUT_SHARE) < 0.03


def test_a_run_that_has_ended_stays_as_it_is() -> None:
    ended = ("succeeded", "failed", "cancelled")
    assert not any(may_become(status, target) for status in ended for target in STATUSES)
    assert sources_of("running") == ("queued",)
    assert sources_of("queued") == ("running",)
    assert sources_of("succeeded") == ("running",)
    assert set(sources_of("cancelled")) == {"queued", "running"}


def test_held_out_photos_ship_with_a_model_and_are_checked(tmp_path: Path) -> None:
    ship(tmp_path, "m1")
    photos = [
        held_out.Kept(photo_of(label, seed=seed), LABELS3.index(label), f"h{seed}")
        for seed in range(4)
        for label in LABELS3
    ]
    manifest = held_out.write(tmp_path, photos, photos[:3])
    entry = held_out_of(Manifest.from_json((tmp_path / "manifest.json").read_bytes()))
    assert entry is not None
    assert manifest.sha256 == manifest_of("m1", colour_model("m1")).sha256
    data = (tmp_path / entry.file).read_bytes()
    held = held_out.read(data, entry, labels=3)
    head = read_head(colour_model("m1"))
    assert (head.probabilities(held.features).argmax(axis=1) == held.targets).all()
    assert sorted(np.bincount(held.households)) == [3, 3, 3, 3]
    assert hashlib.sha256(photos[0].photo).hexdigest() in held.photos
    again = entry_of(Manifest.from_json((tmp_path / "manifest.json").read_bytes()), "rehearsal")
    assert again is not None
    assert len(held_out.read_rehearsal((tmp_path / again.file).read_bytes(), again, labels=3).targets) == 3
    for wrong, labels in ((data + b"x", 3), (data, 2)):
        with pytest.raises(held_out.BrokenHeldOut):
            held_out.read(wrong, entry, labels=labels)


def clouds(count: int, shift: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    targets = np.arange(count) % 3
    features = np.eye(3, 5)[targets] * 2 + random.normal(0, 0.5, (count, 5))
    features[:, 0] += shift
    return features, targets


CHAMPION = Head(np.eye(3, 5) * 2, np.zeros(3))


def test_the_stronger_the_pull_the_nearer_to_the_champion() -> None:
    features, targets = clouds(60, 1.0, seed=4)
    moved = [
        float(np.abs(fit(CHAMPION, whole(features, targets), pull=pull).weights - CHAMPION.weights).max())
        for pull in (1.0, 10.0, 1000.0)
    ]
    assert moved[0] > moved[1] > moved[2]


def test_fitting_reaches_the_minimum() -> None:
    features, targets = clouds(60, 1.0, seed=8)
    head = fit(CHAMPION, whole(features, targets))
    mean, spread = features.mean(axis=0), features.std(axis=0) + LEAST_SPREAD
    x = np.hstack([(features - mean) / spread, np.ones((60, 1))])
    change = (head.weights - CHAMPION.weights) * spread
    bias = head.bias - CHAMPION.bias + (head.weights - CHAMPION.weights) @ mean
    error = softmax(features @ head.weights.T + head.bias) - np.eye(3)[targets]
    gradient = error.T @ x + PULL * np.hstack([change, bias[:, None]])
    assert np.abs(gradient).max() < 0.05


def test_a_rehearsal_keeps_what_the_examples_do_not_show() -> None:
    known, truth = clouds(300, 0.0, seed=1)
    only_two = truth < 2
    features, targets = clouds(120, 2.0, seed=2)
    few = whole(features[targets < 2], targets[targets < 2])
    kept = fit(CHAMPION, few, whole(known, truth))
    lost = fit(CHAMPION, few)
    third = known[~only_two]
    forgotten = [float((head.probabilities(third).argmax(axis=1) != 2).mean()) for head in (kept, lost)]
    assert forgotten[0] <= forgotten[1]
    assert log_loss(kept.probabilities(third), truth[~only_two]) < log_loss(
        lost.probabilities(third), truth[~only_two]
    )


def test_nobody_is_judged_by_a_head_that_saw_him_or_his_picture() -> None:
    # Labels that say nothing but which picture it is: a head that had seen one of the group would know.
    random = np.random.default_rng(2)
    groups = np.repeat(np.arange(20), 3)
    features = np.repeat(random.normal(size=(20, 40)) * 5, 3, axis=0)
    targets = np.repeat(random.integers(0, 3, 20), 3)
    nothing = Head(np.zeros((3, 40)), np.zeros(3))
    seen = fit(nothing, whole(features, targets)).probabilities(features)
    unseen = cross_fit(nothing, whole(features, targets), groups)
    assert (seen.argmax(axis=1) == targets).all()
    assert (unseen.argmax(axis=1) == targets).mean() < 0.7


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.floats(0.5, 3.0))
def test_a_model_file_takes_another_last_layer_again_and_again(seed: int, temperature: float) -> None:
    random = np.random.default_rng(seed)
    weights = random.normal(size=(3, 3)).astype(np.float32)
    file = colour_model("m1", weights=weights, temperature=temperature)
    images = random.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    before, features = Model.load(file).predict(images)
    head = read_head(file)
    np.testing.assert_allclose(head.probabilities(features.astype(float)), before, atol=1e-4)
    for version in ("m2", "m3"):
        other = Head(random.normal(size=(3, 3)), random.normal(size=3))
        file = replace_head(file, other, version=version)
        served = Model.load(file)
        after, same = served.predict(images)
        assert served.version == version
        np.testing.assert_array_equal(same, features)
        np.testing.assert_allclose(after, other.probabilities(features.astype(float)), atol=1e-4)
        np.testing.assert_allclose(read_head(file).weights, other.weights, atol=1e-4)


def test_another_last_layer_leaves_the_layer_that_tells_strangers() -> None:
    random = np.random.default_rng(7)
    layer = Layer(random.normal(size=(6, 4)), random.normal(size=4), random.normal(size=4), np.zeros(1))
    model = add_layer(add_inputs(averaged(colour_model("m1"))), layer, "known")
    image = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    before = Model.load(model.SerializeToString())
    file = replace_head(model.SerializeToString(), Head(np.eye(3), np.zeros(3)), version="m2")
    np.testing.assert_array_equal(Model.load(file).predict_all(image).known, before.predict_all(image).known)
    assert (before.predict_all(image).known < 1).all()


def test_a_model_that_does_not_end_in_a_softmax_is_refused() -> None:
    file = colour_model("m1").replace(b"Softmax", b"Sigmoid")
    with pytest.raises(NoLinearHead):
        read_head(file)


@pytest.mark.parametrize(("photos", "least", "most"), [(20, 1.0, 1.2), (4000, 1.35, 1.6)])
def test_a_few_examples_change_little_of_how_sure_a_model_is_and_many_change_it(
    photos: int, least: float, most: float
) -> None:
    random = np.random.default_rng(3)
    logits = random.normal(size=(photos, 3)) * 3
    chance = softmax(logits / 1.5)
    truth = np.array([random.choice(3, p=each) for each in chance])
    assert least <= temperature_of(softmax(logits), truth) <= most
