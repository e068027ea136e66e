"""What is composed, and the layer that tells several garments from one."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from laundry_reading.model import Model, session_options
from laundry_testing.models import COLOURS, LABELS, SIZE, averaged, colour_model, seeing_several
from laundry_training.auxiliary_heads import (
    INPUTS,
    Layer,
    activations_of,
    add_inputs,
    add_layer,
    hide_inputs,
    mean_of,
)
from laundry_training.compose import SINGLE, Composed, Layout, compose
from laundry_training.piles import judge_piles, piles_to_judge
from laundry_training.several import choose_several_threshold

PHOTOS = np.stack([np.full((40, 40, 3), COLOURS[label], dtype=np.uint8) for label in LABELS])
TARGETS = np.arange(len(LABELS))


def some_layer(seed: int) -> Layer:
    random = np.random.default_rng(seed)
    return Layer(
        random.normal(size=(6, 4)), random.normal(size=4), random.normal(size=4), random.normal(size=1)
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_file_computes_the_layers_on_means_and_deviations(seed: int) -> None:
    model = add_inputs(averaged(colour_model("m1")))
    photos = np.random.default_rng(seed).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    places = photos.reshape(3, -1, 3) / 255
    expected = np.hstack([places.mean(axis=1), places.std(axis=1)])
    activations = activations_of(model, photos)
    np.testing.assert_allclose(activations.inputs, expected, atol=2e-4)
    known, several = some_layer(seed), mean_of([some_layer(seed + 1), some_layer(seed + 2)])
    model = hide_inputs(add_layer(add_layer(model, known, "known"), several, "several"))
    onnx.checker.check_model(model)
    told = Model.load(model.SerializeToString()).predict_all(photos)
    np.testing.assert_allclose(told.known, known.chance(expected), atol=2e-4)
    np.testing.assert_allclose(told.several, several.chance(expected), atol=2e-4)
    np.testing.assert_allclose(told.probs, activations.probs, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seeds=st.lists(st.integers(0, 10_000), min_size=1, max_size=5))
def test_the_mean_of_layers_is_one_layer_whose_logit_is_their_mean(seeds: list[int]) -> None:
    inputs = np.random.default_rng(0).normal(size=(7, 6))
    layers = [some_layer(seed) for seed in seeds]
    logits = [np.log(each.chance(inputs) / (1 - each.chance(inputs))) for each in layers]
    expected = 1 / (1 + np.exp(-np.mean(logits, axis=0)))
    np.testing.assert_allclose(mean_of(layers).chance(inputs), expected, atol=1e-6)


def test_the_deviation_of_a_plain_photo_is_nothing_and_leaves_the_outputs_when_it_was_used() -> None:
    model = add_inputs(averaged(colour_model("m1")))

    session = onnxruntime.InferenceSession(model.SerializeToString(), session_options())
    plain = np.full((1, SIZE, SIZE, 3), 255, dtype=np.uint8)
    assert np.abs(session.run([INPUTS], {"image": plain})[0][:, 3:]).max() < 1e-3
    outputs = {each.name for each in hide_inputs(add_layer(model, some_layer(1), "several")).graph.output}
    assert outputs == {"probs", "features", "several"}


def test_a_model_whose_features_are_no_mean_cannot_tell() -> None:
    model = onnx.load_from_string(colour_model("m1"))
    next(node for node in model.graph.node if node.output[0] == "features").op_type = "Add"
    with pytest.raises(ValueError, match="no mean"):
        add_inputs(model)


def test_who_sees_several_asks_a_person_however_sure_it_is() -> None:
    model = onnx.load_from_string(colour_model("m1"))
    graph = model.graph
    graph.node.append(helper.make_node("ReduceMax", ["probs", "last"], ["several"], keepdims=0))
    graph.initializer.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "last"))
    graph.output.append(helper.make_tensor_value_info("several", TensorProto.FLOAT, ["n"]))
    for threshold, multiple in ((0.5, True), (1.0, False)):
        helper.set_model_props(
            model,
            {e.key: e.value for e in model.metadata_props} | {"several_threshold": repr(threshold)},
        )
        reader = Model.load(model.SerializeToString())
        seen = reader.predict_all(PHOTOS[:1, :SIZE, :SIZE])
        reading = reader.interpret(seen.probs[0], float(seen.known[0]), float(seen.several[0]))
        assert (reading.multiple, reading.needs_review) == (multiple, multiple)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=400), st.floats(0, 0.5))
def test_no_more_single_garments_are_called_several_than_may_be(chances: list[float], most: float) -> None:
    threshold = choose_several_threshold(np.array(chances), most)
    assert (np.array(chances) > threshold).sum() <= most * len(chances) + 1


@pytest.mark.parametrize("layout", ["tiles", "tiles and bare ground", "laid out", "laid out alone"])
def test_pictures_show_what_they_say_and_the_same_again(layout: Layout) -> None:
    def make(seed: int) -> Composed:
        return compose(
            PHOTOS,
            TARGETS,
            layout=layout,
            garments=(2, 3),
            number=8,
            size=SIZE,
            seed=seed,
        )

    first, again, other = make(1), make(1), make(2)
    assert first.pixels.shape == (8, SIZE, SIZE, 3)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert (first.pixels != other.pixels).any()
    for picture, targets in zip(first.pixels, first.targets, strict=True):
        assert len(targets) == 1 if layout in SINGLE else len(targets) in {2, 3}
        colours = [np.array(COLOURS[LABELS[target]]) for target in targets]
        assert all((np.abs(picture.astype(int) - colour).sum(axis=2) < 30).any() for colour in colours)


def test_lists_of_piles_are_counted_beside_what_is_there() -> None:
    model = Model.load(seeing_several(colour_model("m1", temperature=1.5)))
    (tiled, *_) = judge_piles(
        model, piles_to_judge(np.concatenate([PHOTOS] * 2), np.tile(TARGETS, 2), SIZE, 30)
    )
    # Two of one colour side by side look like one.
    assert 0.3 < tiled.multiple < 1
    assert tiled.multiple == tiled.reviewed
    assert tiled.listed == tiled.counted == tiled.right == tiled.found == 1


def test_scores_of_piles_count_what_was_said() -> None:
    scores = judge_piles(
        Model.load(colour_model("m1", threshold=0.0)),
        piles_to_judge(np.concatenate([PHOTOS] * 2), np.tile(TARGETS, 2), SIZE, 9),
    )
    assert [score.pictures for score in scores] == [9] * 6
    assert [score.several for score in scores] == [True] * 4 + [False] * 2
    assert all(score.multiple == score.reviewed == score.listed == score.right == 0 for score in scores)
