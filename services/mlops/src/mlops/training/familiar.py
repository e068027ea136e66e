"""Whether a photo shows any of the classes at all: a second small layer beside the last one.

A softmax must name some class, and is often sure of it: of garments that are none of the classes about half
were claimed with confidence. A logistic regression on the same features, fitted to photos of the classes and
of other things, tells most of them apart (figures in the model card).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Floats = npt.NDArray[np.floating]

STRENGTH = 100.0
"""Pull of the weights towards zero, in units of one photo's loss. Weaker pulls send more other things to a
person, stronger ones fewer garments of the classes; between 10 and 800 the change is a few points."""

STEPS = 40


def fit_known(
    features: Floats, known: npt.NDArray[np.bool_], strength: float = STRENGTH
) -> tuple[Floats, float]:
    """Weights [d] and bias: the logistic of ``features @ weights + bias`` is the chance to be of the classes.

    Args:
        features: what the last layer sees of each training photo, [n, d].
        known: whether the photo shows one of the classes, [n]; both kinds must occur.

    Raises:
        ValueError: only one kind of photo.
    """
    if known.all() or not known.any():
        raise ValueError("Photos of the classes and photos of other things are both needed.")
    scale = features.std(axis=0) + 1e-6
    x = np.hstack([features / scale, np.ones((len(features), 1))])
    pull = np.append(np.full(features.shape[1], strength), 1e-6)
    weights = np.zeros(x.shape[1])
    for _ in range(STEPS):  # Newton's steps; the loss is convex
        said = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (said - known) + pull * weights
        curvature = (x.T * (said * (1 - said))) @ x + np.diag(pull)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step
        if np.abs(step).max() < 1e-9:
            break
    return weights[:-1] / scale, float(weights[-1])


def add_known(model: onnx.ModelProto, weights: Floats, bias: float) -> onnx.ModelProto:
    """The model with a third output, ``known`` [n]: the chance 0..1 that a photo shows any of the classes."""
    graph = model.graph
    graph.initializer.extend(
        [
            numpy_helper.from_array(weights.astype(np.float32), "known.weight"),
            numpy_helper.from_array(np.array(bias, dtype=np.float32), "known.bias"),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("MatMul", ["features", "known.weight"], ["known.dot"]),
            helper.make_node("Add", ["known.dot", "known.bias"], ["known.logit"]),
            helper.make_node("Sigmoid", ["known.logit"], ["known"]),
        ]
    )
    graph.output.append(helper.make_tensor_value_info("known", TensorProto.FLOAT, ["n"]))
    return model
