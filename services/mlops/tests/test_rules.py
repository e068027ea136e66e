"""What an example teaches, what a run may become, who wins: the rules, without servers."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laundry_reading.manifest import Manifest
from laundry_reading.model import Model
from laundry_testing.models import LABELS as LABELS3
from laundry_testing.models import colour_model, manifest_of, photo_of, ship
from mlops.examples import HOLDOUT_SHARE, judges, single_label
from mlops.heldout import held_out_of
from mlops.refit import held_out
from mlops.refit.graph import NoLinearHead, read_head, replace_head
from mlops.refit.head import Head, choose_and_fit, fit, log_loss, softmax
from mlops.refit.judge import Contest, decide, score
from mlops.runs import STATUSES, may_become, sources_of

LABELS = ("a", "b", "c")


def test_a_photo_stays_on_its_side_and_about_a_quarter_judge() -> None:
    hashes = [f"{number:064x}" for number in range(4000)]
    sides = [judges(each) for each in hashes]
    assert sides == [judges(each) for each in hashes]
    assert abs(sum(sides) / len(sides) - HOLDOUT_SHARE) < 0.03


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


def test_a_run_that_has_ended_stays_as_it_is() -> None:
    ended = ("succeeded", "failed", "cancelled")
    assert not any(may_become(status, target) for status in ended for target in STATUSES)
    assert sources_of("running") == ("queued",)
    assert sources_of("succeeded") == ("running",)
    assert set(sources_of("cancelled")) == {"queued", "running"}


def probabilities(right: int, wrong: int, sure: float) -> tuple[np.ndarray, np.ndarray]:
    targets = np.arange(right + wrong) % 3
    guesses = targets.copy()
    guesses[right:] = (guesses[right:] + 1) % 3
    probs = np.full((len(targets), 3), (1 - sure) / 2)
    probs[np.arange(len(targets)), guesses] = sure
    return probs, targets


def judged(champion: tuple[int, int, float], candidate: tuple[int, int, float]) -> tuple[bool, str]:
    good, reasons = decide(
        Contest(score(*probabilities(*champion)), score(*probabilities(*candidate))), LABELS
    )
    return good, " | ".join(reasons)


def test_a_better_model_takes_over_and_says_why() -> None:
    good, reasons = judged((10, 5, 0.8), (13, 2, 0.8))
    assert good
    assert "13 against the champion's 10 of 15" in reasons


@pytest.mark.parametrize(
    "candidate",
    [(9, 6, 0.8), (10, 5, 0.97), (10, 5, 0.8)],
    ids=["fewer right", "surer of the same errors", "just the same"],
)
def test_a_model_that_is_not_better_does_not_take_over(candidate: tuple[int, int, float]) -> None:
    good, reasons = judged((10, 5, 0.8), candidate)
    assert not good
    assert "not promoted" in reasons


def test_a_model_that_loses_a_class_does_not_take_over() -> None:
    targets = np.repeat([0, 1, 2], [30, 12, 30])
    champion = np.full((72, 3), 0.1)
    champion[np.arange(72), targets] = 0.8
    champion[:8] = (0.1, 0.8, 0.1)
    candidate = np.full((72, 3), 0.02)
    candidate[np.arange(72), targets] = 0.96
    candidate[30:33] = (0.5, 0.3, 0.2)
    good, reasons = decide(Contest(score(champion, targets), score(candidate, targets)), LABELS)
    assert not good
    assert any("b: 25% of its 12 examples are lost" in reason for reason in reasons)


@pytest.mark.parametrize(("forgotten", "takes_over"), [(0, True), (1, True), (2, False)])
def test_a_model_that_has_forgotten_what_it_knew_does_not_take_over(forgotten: int, takes_over: bool) -> None:
    examples = Contest(score(*probabilities(10, 5, 0.8)), score(*probabilities(13, 2, 0.8)))
    memory = Contest(
        score(*probabilities(90, 10, 0.8)), score(*probabilities(90 - forgotten, 10 + forgotten, 0.8))
    )
    good, reasons = decide(examples, LABELS, held_out=memory)
    assert good is takes_over
    assert f"{90 - forgotten} right against the champion's 90 of 100" in " | ".join(reasons)


def test_held_out_photos_ship_with_a_model_and_are_checked(tmp_path: Path) -> None:
    ship(tmp_path, "m1")
    photos = [(photo_of(label, seed=seed), LABELS3.index(label)) for seed in range(4) for label in LABELS3]
    manifest = held_out.write(tmp_path, photos)
    entry = held_out_of(Manifest.from_json((tmp_path / "manifest.json").read_bytes()))
    assert entry is not None
    assert manifest.sha256 == manifest_of("m1", colour_model("m1")).sha256
    data = (tmp_path / entry.file).read_bytes()
    held = held_out.read(data, entry, labels=3)
    head = read_head(colour_model("m1"))
    assert score(head.probabilities(held.features), held.targets).top1 == 1
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


def test_a_refit_learns_what_has_shifted_and_is_better_on_new_examples() -> None:
    fitted = choose_and_fit(CHAMPION, *clouds(120, 1.5, seed=1))
    features, targets = clouds(300, 1.5, seed=2)
    assert fitted.strength is not None
    before = score(CHAMPION.probabilities(features), targets)
    after = score(fitted.head.probabilities(features), targets)
    assert decide(Contest(before, after), LABELS)[0]


def test_examples_that_contradict_each_other_change_nothing() -> None:
    random = np.random.default_rng(5)
    features, _ = clouds(60, 0.0, seed=3)
    # Labels that have nothing to do with the photo, and a champion that is unsure: nothing to learn.
    unsure = Head(np.zeros((3, 5)), np.zeros(3))
    fitted = choose_and_fit(unsure, features, random.permutation(np.arange(60) % 3))
    assert fitted.strength is None
    assert fitted.head is unsure


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([3.0, 100.0]))
def test_the_stronger_the_pull_the_nearer_to_the_champion(seed: int, strong: float) -> None:
    features, targets = clouds(30, 1.0, seed=seed)
    far = fit(CHAMPION, features, targets, 0.01)
    near = fit(CHAMPION, features, targets, strong)
    moved = [float(np.abs(head.weights - CHAMPION.weights).max()) for head in (far, near)]
    assert moved[1] < moved[0]
    assert log_loss(far.probabilities(features), targets) <= log_loss(near.probabilities(features), targets)


def test_fitting_reaches_the_minimum() -> None:
    features, targets = clouds(60, 1.0, seed=8)
    strength = 0.1
    head = fit(CHAMPION, features, targets, strength)
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-3
    x = np.hstack([(features - mean) / scale, np.ones((60, 1))])
    change = (head.weights - CHAMPION.weights) * scale
    bias = head.bias - CHAMPION.bias + (head.weights - CHAMPION.weights) @ mean
    error = softmax(features @ head.weights.T + head.bias) - np.eye(3)[targets]
    gradient = error.T @ x / 60 + strength * np.hstack([change, bias[:, None]])
    assert np.abs(gradient).max() < 1e-4


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
