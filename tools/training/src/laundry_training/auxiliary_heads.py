"""Small auxiliary layers, each of which predicts one property of a photo: ``known``, ``several``.

They see the features' means and how much each feature differs from place to place on the photo, through
one hidden layer of rectifiers. Knows numpy and onnx; only the fitting needs torch.
"""

# mypy: disable-error-code="no-untyped-call,import-not-found"

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from laundry_reading.model import session_options

Floats = npt.NDArray[np.floating]

HIDDEN = 32
BATCH = 128
RATE = 1e-3
DECAY = 0.1
DROPOUT = 0.3
LEAST_WIDTH = 1e-4
"""A feature that differs less than this among the photos is not stretched any further."""

INPUTS = "beside.inputs"


@dataclass(frozen=True)
class Layer:
    """Two dense layers with a rectifier between: ``inputs`` [n, 2 d] to a logit [n]."""

    first: Floats
    first_bias: Floats
    second: Floats
    second_bias: Floats

    def chance(self, inputs: Floats) -> Floats:
        """The chance 0..1 [n] that what the layer tells is so."""
        hidden = np.maximum(inputs @ self.first + self.first_bias, 0)
        return np.asarray(1 / (1 + np.exp(-(hidden @ self.second + self.second_bias))))


@dataclass(frozen=True)
class Activations:
    """What a model sees of n pictures: ``inputs`` [n, 2 d] of these layers, and ``probs`` [n, labels]."""

    inputs: Floats
    probs: Floats


def activations_of(model: onnx.ModelProto, pixels: npt.NDArray[np.uint8]) -> Activations:
    """Look at pictures as served [n, s, s, 3], each alone, with a model that ``add_inputs`` made."""
    session = ort.InferenceSession(model.SerializeToString(), session_options())
    rows = [session.run([INPUTS, "probs"], {"image": pixels[i : i + 1]}) for i in range(len(pixels))]
    return Activations(np.concatenate([row[0] for row in rows]), np.concatenate([row[1] for row in rows]))


def mean_of(layers: Sequence[Layer]) -> Layer:
    """One wider layer whose logit is the mean of these layers' logits."""
    return Layer(
        np.concatenate([each.first for each in layers], axis=1),
        np.concatenate([each.first_bias for each in layers]),
        np.concatenate([each.second for each in layers]) / len(layers),
        np.mean([each.second_bias for each in layers], axis=0),
    )


def fit_layer(
    inputs: Floats,
    truth: npt.NDArray[np.bool_],
    weights: Floats | None = None,
    *,
    seeds: Sequence[int] = (1,),
    epochs: int = 20,
    input_dropout: float = 0.0,
) -> Layer:
    """Fit a layer to photos' means and deviations [n, 2 d] and to what is so of each [n].

    Args:
        weights: how much each photo counts [n]; all the same if None.
        seeds: a layer is fitted with each, and what comes is their mean.
        epochs: passes over the photos. input_dropout: share of the inputs that each step does without.

    Raises:
        ValueError: it is so of all photos, or of none.
    """
    import torch  # noqa: PLC0415 - only the training has it

    if truth.all() or not truth.any():
        raise ValueError("Photos of which it is so and photos of which it is not are both needed.")
    middle, width = inputs.mean(axis=0), inputs.std(axis=0) + LEAST_WIDTH
    x = torch.from_numpy(((inputs - middle) / width).astype(np.float32))
    y = torch.from_numpy(truth.astype(np.float32))
    counts = torch.from_numpy((np.ones(len(truth)) if weights is None else weights).astype(np.float32))

    def fit(seed: int) -> Layer:
        torch.manual_seed(seed)
        first, second = torch.nn.Linear(x.shape[1], HIDDEN), torch.nn.Linear(HIDDEN, 1)
        net = torch.nn.Sequential(
            torch.nn.Dropout(input_dropout), first, torch.nn.ReLU(), torch.nn.Dropout(DROPOUT), second
        )
        optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        for _ in range(epochs):
            for batch in torch.randperm(len(x)).split(BATCH):
                loss = torch.nn.functional.binary_cross_entropy_with_logits(
                    net(x[batch])[:, 0], y[batch], counts[batch], reduction="sum"
                ) / len(batch)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            falling.step()
        stretched = first.weight.detach().numpy().astype(np.float64) / width
        return Layer(
            stretched.T,
            first.bias.detach().numpy().astype(np.float64) - stretched @ middle,
            second.weight.detach().numpy()[0].astype(np.float64),
            second.bias.detach().numpy()[0].astype(np.float64),
        )

    return mean_of([fit(seed) for seed in seeds])


def add_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with an output more, ``INPUTS``: means and standard deviations of each feature, [n, 2 d].

    Raises:
        ValueError: its features are no mean over places.
    """
    graph = model.graph
    made = {output: node for node in graph.node for output in node.output}
    chain, name = [], "features"
    while name in made and made[name].op_type in {"ReduceMean", "Reshape"}:
        chain.append(made[name])
        name = made[name].input[0]
    if not chain or chain[-1].op_type != "ReduceMean":
        raise ValueError("The model's features are no mean over the places of a photo.")
    mean = chain[-1]
    start = list(graph.node).index(mean) + 1
    squares = helper.make_node("Mul", [name, name], ["beside.square"])
    of_squares = onnx.NodeProto.FromString(mean.SerializeToString())
    of_squares.name, of_squares.input[0], of_squares.output[0] = "", "beside.square", "beside.mean_square"
    nodes = [
        squares,
        of_squares,
        helper.make_node("Mul", [mean.output[0], mean.output[0]], ["beside.square_mean"]),
        helper.make_node("Sub", ["beside.mean_square", "beside.square_mean"], ["beside.difference"]),
        # Rounding may bring what is zero a little below.
        helper.make_node("Relu", ["beside.difference"], ["beside.variance"]),
        helper.make_node("Sqrt", ["beside.variance"], ["beside.deviation"]),
    ]
    name = "beside.deviation"
    for number, link in enumerate(reversed(chain[:-1])):
        # The mirror image's is averaged in as the features' own is.
        copy = onnx.NodeProto.FromString(link.SerializeToString())
        copy.name, copy.input[0], copy.output[0] = "", name, f"beside.link{number}"
        nodes.append(copy)
        name = copy.output[0]
    for place, node in enumerate(nodes):
        graph.node.insert(start + place, node)
    graph.node.append(helper.make_node("Concat", ["features", name], [INPUTS], axis=1))
    features = next(each for each in graph.output if each.name == "features")
    size = 2 * features.type.tensor_type.shape.dim[-1].dim_value
    graph.output.append(helper.make_tensor_value_info(INPUTS, TensorProto.FLOAT, ["n", size]))
    return model


def add_layer(model: onnx.ModelProto, layer: Layer, name: str) -> onnx.ModelProto:
    """The model, which ``add_inputs`` made, with an output more: what the layer tells, ``name`` [n]."""
    graph = model.graph
    first, first_bias, second, second_bias, hidden, dot = (
        f"{name}.{part}" for part in ("first", "first_bias", "second", "second_bias", "hidden", "dot")
    )
    weights = {
        first: layer.first,
        first_bias: layer.first_bias,
        second: layer.second,
        second_bias: np.asarray(layer.second_bias),
    }
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(values, dtype=np.float32), each)
        for each, values in weights.items()
    )
    graph.node.extend(
        [
            helper.make_node("Gemm", [INPUTS, first, first_bias], [f"{name}.dense"]),
            helper.make_node("Relu", [f"{name}.dense"], [hidden]),
            helper.make_node("MatMul", [hidden, second], [dot]),
            helper.make_node("Add", [dot, second_bias], [f"{name}.logit"]),
            helper.make_node("Sigmoid", [f"{name}.logit"], [name]),
        ]
    )
    graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]))
    return model


def hide_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the output that only the fitting needs; its layers go on seeing it."""
    outputs = [each for each in model.graph.output if each.name != INPUTS]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    return model
