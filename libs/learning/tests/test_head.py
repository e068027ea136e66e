"""The last layer: what fitting it keeps and changes, and how a model file takes another."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laundry_learning.graph import NoLinearHead, read_head, replace_head
from laundry_learning.head import (
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
from laundry_reading.model import Model
from laundry_testing.models import colour_model

from .clouds import CHAMPION, clouds


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


@pytest.mark.parametrize(("photos", "least", "most"), [(20, 1.0, 1.2), (4000, 1.35, 1.6)])
def test_a_few_examples_change_little_of_how_sure_a_model_is_and_many_change_it(
    photos: int, least: float, most: float
) -> None:
    random = np.random.default_rng(3)
    logits = random.normal(size=(photos, 3)) * 3
    chance = softmax(logits / 1.5)
    truth = np.array([random.choice(3, p=each) for each in chance])
    assert least <= temperature_of(softmax(logits), truth) <= most


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


def test_a_model_that_does_not_end_in_a_softmax_is_refused() -> None:
    file = colour_model("m1").replace(b"Softmax", b"Sigmoid")
    with pytest.raises(NoLinearHead):
        read_head(file)
