"""The last layer inside a model file: reading it, and putting another in its place."""

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from laundry_learning.head import Head
from laundry_reading.priors import BranchPriors

WEIGHTS, BIAS, LOGITS = "refit.weight", "refit.bias", "refit.logits"


class NoLinearHead(Exception):
    """The model's probabilities are not a softmax of a linear layer on its features."""


def read_head(file: bytes) -> Head:
    """Read the last layer, temperature included, by probing it: it need only be linear, however it is
    encoded.

    Raises:
        NoLinearHead: it is not.
    """
    model = onnx.load_from_string(file)
    tail = _tail(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(tail.SerializeToString(), options, providers=["CPUExecutionProvider"])
    size = _feature_count(model)

    def ask(features: np.ndarray) -> np.ndarray:
        answer = session.run(None, {"features": features.astype(np.float32)})[0]
        return np.asarray(answer, dtype=np.float64)

    bias = ask(np.zeros((1, size)))[0]
    weights = (ask(np.eye(size)) - bias).T
    probe = np.random.default_rng(0).normal(size=(8, size))
    expected = probe @ weights.T + bias
    if not np.allclose(ask(probe), expected, rtol=1e-3, atol=1e-3 * max(1.0, float(np.abs(expected).max()))):
        raise NoLinearHead("The model's last layer is not linear in its features.")
    return Head(weights, bias)


def replace_priors(file: bytes, priors: BranchPriors) -> bytes:
    """Put other priors of branches into a model; everything else stays."""
    model = onnx.load_from_string(file)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(model, {**metadata, "branch_priors": priors.to_json()})
    data: bytes = model.SerializeToString()
    return data


def replace_head(file: bytes, head: Head, *, version: str) -> bytes:
    """Put another last layer into a model and give it a version; everything before it stays.

    Raises:
        NoLinearHead: the model does not end in a softmax.
    """
    model = onnx.load_from_string(file)
    graph = model.graph
    softmax = _softmax(model)
    # Cut before the old layer is dropped, which may use the same names as the new one.
    softmax.input[0] = "features"
    _drop_unused(graph)
    _softmax(model).input[0] = LOGITS
    graph.initializer.extend(
        [
            numpy_helper.from_array(head.weights.astype(np.float32), WEIGHTS),
            numpy_helper.from_array(head.bias.astype(np.float32), BIAS),
        ]
    )
    position = next(i for i, node in enumerate(graph.node) if "probs" in node.output)
    graph.node.insert(position, helper.make_node("Gemm", ["features", WEIGHTS, BIAS], [LOGITS], transB=1))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    # The temperature is in the weights now.
    helper.set_model_props(model, {**metadata, "version": version, "temperature": "1.0"})
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _softmax(model: onnx.ModelProto) -> onnx.NodeProto:
    last: onnx.NodeProto | None = next((n for n in model.graph.node if "probs" in n.output), None)
    if last is None or last.op_type != "Softmax":
        raise NoLinearHead("The model's `probs` do not come from a softmax.")
    return last


def _tail(model: onnx.ModelProto) -> onnx.ModelProto:
    """Extract the part between features and softmax as a separate model."""
    logits = _softmax(model).input[0]
    inner = {each.name for each in model.graph.initializer}
    needed, nodes = {logits}, []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output) - {"features"}:
            nodes.append(node)
            needed.update(node.input)
    if needed.intersection(each.name for each in model.graph.input if each.name not in inner):
        raise NoLinearHead("The model's last layer sees more than the features.")
    graph = helper.make_graph(
        list(reversed(nodes)),
        "tail",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", _feature_count(model)])],
        [helper.make_tensor_value_info(logits, TensorProto.FLOAT, None)],
        [each for each in model.graph.initializer if each.name in needed],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _feature_count(model: onnx.ModelProto) -> int:
    for output in model.graph.output:
        if output.name == "features" and output.type.tensor_type.shape.dim[-1].dim_value > 0:
            return int(output.type.tensor_type.shape.dim[-1].dim_value)
    raise NoLinearHead("The model's features have no fixed number.")


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes that fed only the old last layer."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    kept.reverse()
    weights = [each for each in graph.initializer if each.name in needed]
    known = [each for each in graph.value_info if each.name in needed]
    for field, left in ((graph.node, kept), (graph.initializer, weights), (graph.value_info, known)):
        copies = [type(each).FromString(each.SerializeToString()) for each in left]
        del field[:]
        field.extend(copies)
