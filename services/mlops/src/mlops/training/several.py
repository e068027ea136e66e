"""Whether a photo shows more than one garment: a third small layer, beside the last one.

It sees the features' means and how much each feature differs from place to place on the photo. Fitted to
composed pictures (``mlops.training.compose``) and to photos and pictures of one garment.
"""

# mypy: disable-error-code="no-untyped-call,import-not-found"

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Floats = npt.NDArray[np.floating]

HIDDEN = 32
EPOCHS = 30
FALSE_ALARMS = 0.02
"""Share of photos of one garment that may be called several."""

SPREAD = "several.spread"


@dataclass(frozen=True)
class Layer:
    """Two dense layers with a rectifier between: ``inputs`` [n, 2 d] to a logit [n]."""

    first: Floats
    first_bias: Floats
    second: Floats
    second_bias: Floats

    def chance(self, inputs: Floats) -> Floats:
        """The chance 0..1 [n] that each of n photos shows several garments."""
        hidden = np.maximum(inputs @ self.first + self.first_bias, 0)
        return np.asarray(1 / (1 + np.exp(-(hidden @ self.second + self.second_bias))))


def add_spread(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with an output more: each feature's standard deviation over the photo, [n, d].

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
    squares = helper.make_node("Mul", [name, name], ["several.square"])
    of_squares = onnx.NodeProto.FromString(mean.SerializeToString())
    of_squares.name, of_squares.input[0], of_squares.output[0] = "", "several.square", "several.mean_square"
    nodes = [
        squares,
        of_squares,
        helper.make_node("Mul", [mean.output[0], mean.output[0]], ["several.square_mean"]),
        helper.make_node("Sub", ["several.mean_square", "several.square_mean"], ["several.difference"]),
        # Rounding may bring what is zero a little below.
        helper.make_node("Relu", ["several.difference"], ["several.variance"]),
        helper.make_node("Sqrt", ["several.variance"], ["several.deviation"]),
    ]
    name = "several.deviation"
    for number, link in enumerate(reversed(chain[:-1])):
        # The mirror image's is averaged in as the features' own is.
        copy = onnx.NodeProto.FromString(link.SerializeToString())
        copy.name, copy.input[0], copy.output[0] = "", name, f"several.link{number}"
        nodes.append(copy)
        name = copy.output[0]
    nodes.append(helper.make_node("Identity", [name], [SPREAD]))
    for place, node in enumerate(nodes):
        graph.node.insert(start + place, node)
    features = next(each for each in graph.output if each.name == "features")
    size = features.type.tensor_type.shape.dim[-1].dim_value
    graph.output.append(helper.make_tensor_value_info(SPREAD, TensorProto.FLOAT, ["n", size]))
    return model


def fit_several(inputs: Floats, several: npt.NDArray[np.bool_], *, seed: int = 1) -> Layer:
    """Fit the layer to photos' means and deviations [n, 2 d] and to whether each shows several garments [n].

    Raises:
        ValueError: only one kind of photo.
    """
    import torch  # noqa: PLC0415 - only the training has it

    if several.all() or not several.any():
        raise ValueError("Photos of one garment and of several are both needed.")
    torch.manual_seed(seed)
    middle, width = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
    x = torch.from_numpy(((inputs - middle) / width).astype(np.float32))
    y = torch.from_numpy(several.astype(np.float32))
    first, second = torch.nn.Linear(x.shape[1], HIDDEN), torch.nn.Linear(HIDDEN, 1)
    net = torch.nn.Sequential(first, torch.nn.ReLU(), torch.nn.Dropout(0.3), second)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=0.1)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(128):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(net(x[batch])[:, 0], y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        falling.step()
    weights = first.weight.detach().numpy().astype(np.float64) / width
    bias = first.bias.detach().numpy().astype(np.float64) - weights @ middle
    return Layer(
        weights.T,
        bias,
        second.weight.detach().numpy()[0].astype(np.float64),
        second.bias.detach().numpy()[0].astype(np.float64),
    )


def add_several(model: onnx.ModelProto, layer: Layer) -> onnx.ModelProto:
    """The model with the output ``several`` [n] in the place of what ``add_spread`` added."""
    graph = model.graph
    weights = {
        "several.first": layer.first,
        "several.first_bias": layer.first_bias,
        "several.second": layer.second,
        "several.second_bias": np.asarray(layer.second_bias),
    }
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(values, dtype=np.float32), name)
        for name, values in weights.items()
    )
    graph.node.extend(
        [
            helper.make_node("Concat", ["features", SPREAD], ["several.inputs"], axis=1),
            helper.make_node(
                "Gemm", ["several.inputs", "several.first", "several.first_bias"], ["several.h"]
            ),
            helper.make_node("Relu", ["several.h"], ["several.hidden"]),
            helper.make_node("MatMul", ["several.hidden", "several.second"], ["several.dot"]),
            helper.make_node("Add", ["several.dot", "several.second_bias"], ["several.logit"]),
            helper.make_node("Sigmoid", ["several.logit"], ["several"]),
        ]
    )
    outputs = [each for each in graph.output if each.name != SPREAD]
    del graph.output[:]
    graph.output.extend(outputs)
    graph.output.append(helper.make_tensor_value_info("several", TensorProto.FLOAT, ["n"]))
    return model


def choose_several_threshold(chances: Floats, false_alarms: float = FALSE_ALARMS) -> float:
    """The chance above which no more than ``false_alarms`` of these photos of one garment would be called
    several.
    """
    return float(np.quantile(chances, 1 - false_alarms))
