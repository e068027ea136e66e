"""Checks what the trainer gives back, which is not trusted: plain files of bounded size, and the model's
graph before anything runs it. Nothing here runs it.
"""

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import onnx

from laundry_reading.manifest import Manifest
from laundry_reading.preprocess import PREPROCESS_VERSION
from laundry_reading.priors import BranchPriors
from laundry_reading.storage import MAX_MODEL_BYTES
from mlops.full.told import MAX_BYTES

MOST_NODES = 5_000
OPSETS = range(13, 24)
OPERATORS = frozenset({
    "Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant", "Conv",
    "DequantizeLinear", "Div", "Dropout", "Erf", "Exp", "Expand", "Flatten", "Gather", "Gelu", "Gemm",
    "GlobalAveragePool", "HardSigmoid", "HardSwish", "Identity", "LayerNormalization", "LeakyRelu", "Log",
    "MatMul", "Max", "MaxPool", "Min", "Mul", "Neg", "Pad", "Pow", "QuantizeLinear", "ReduceMax",
    "ReduceMean", "ReduceSum", "Relu", "Reshape", "Resize", "Shape", "Sigmoid", "Slice", "Softmax", "Split",
    "Sqrt", "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze",
})  # fmt: skip
"""What a network that reads photos is made of: no loops, no branches, nothing of a vendor's own."""


class Rejected(Exception):
    """It is not what a trainer may give back; the text says why."""


@dataclass(frozen=True)
class ModelFacts:
    """A model's own metadata, by the names of ``laundry_reading.model.Model``."""

    version: str
    labels: tuple[str, ...]
    threshold: float
    several_threshold: float
    input_size: int
    priors: BranchPriors


class OutputFolder:
    """The trainer's output folder: only plain files are read, and no link is followed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str, *, most: int) -> bytes:
        """Read a file. Raises Rejected."""
        if "/" in name or name in ("", ".", ".."):
            raise Rejected(f"{name[:80]!r} is no file's name")
        try:
            folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            finally:
                os.close(folder)
            with os.fdopen(file, "rb") as opened:
                about = os.fstat(opened.fileno())
                if not stat.S_ISREG(about.st_mode) or about.st_nlink != 1:
                    raise Rejected(f"{name} is no plain file")
                content = opened.read(most + 1)
        except OSError as error:
            raise Rejected(f"{name} cannot be read: {error.strerror}") from error
        if len(content) > most:
            raise Rejected(f"{name} exceeds {most} bytes")
        return content

    def manifest(self) -> Manifest:
        """Read the manifest. Raises Rejected."""
        try:
            return Manifest.from_json(self.read("manifest.json", most=MAX_BYTES))
        except ValueError as error:
            raise Rejected(f"the manifest is none: {error}"[:500]) from error


def facts_of(file: bytes, manifest: Manifest) -> ModelFacts:
    """Check a model: size, operators, shapes, and that its metadata agree with its manifest.

    Raises:
        Rejected: it is another model than a run may bring.
    """
    if len(file) > MAX_MODEL_BYTES or len(file) != manifest.file_bytes:
        raise Rejected(f"the model has {len(file)} bytes, its manifest says {manifest.file_bytes}")
    try:
        model = onnx.load_from_string(file)
    except Exception as error:  # protobuf has classes of its own
        raise Rejected("the model is no ONNX file") from error
    _check_graph(model)
    try:
        said = {entry.key: entry.value for entry in model.metadata_props}
        labels = tuple(str(each) for each in json.loads(said["labels"]))
        facts = ModelFacts(
            said["version"],
            labels,
            float(said["threshold"]),
            float(said.get("several_threshold", 1)),
            _edge(model),
            BranchPriors.from_json(said.get("branch_priors", "{}"), labels=len(labels)),
        )
        preprocess = said["preprocess_version"]
    except (KeyError, ValueError, TypeError) as error:
        raise Rejected(f"what the model says of itself is missing or broken: {error}") from error
    told = (manifest.version, tuple(manifest.labels), manifest.threshold, manifest.input_size)
    if told != (facts.version, facts.labels, facts.threshold, facts.input_size):
        raise Rejected("the model says another version, classes, threshold or size than its manifest")
    if {preprocess, manifest.preprocess_version} != {PREPROCESS_VERSION}:
        raise Rejected(f"the model wants preprocessing {preprocess!r}, this code does {PREPROCESS_VERSION!r}")
    return facts


def _check_graph(model: onnx.ModelProto) -> None:
    graph = model.graph
    if model.functions or model.training_info:
        raise Rejected("the model brings functions or training of its own")
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    if opset not in OPSETS:
        raise Rejected(f"the model is of opset {opset}; {OPSETS[0]} to {OPSETS[-1]} are taken")
    if len(graph.node) > MOST_NODES:
        raise Rejected(f"the model has {len(graph.node)} nodes, at most {MOST_NODES} are taken")
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            name = f"{node.domain}.{node.op_type}".lstrip(".")
            raise Rejected(f"the model uses the operator {name[:80]}, which no network here needs")
        if any(each.HasField("g") or each.graphs for each in node.attribute):
            raise Rejected("the model has a graph inside a node")
    constants = [each.t for node in graph.node for each in node.attribute if each.HasField("t")]
    for tensor in (*graph.initializer, *constants):
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise Rejected("the model's weights lie in another file")
    if graph.sparse_initializer:
        raise Rejected("the model has sparse weights")


def _edge(model: onnx.ModelProto) -> int:
    graph = model.graph
    weights = {each.name for each in graph.initializer}
    inputs = [each for each in graph.input if each.name not in weights]
    outputs = {each.name for each in graph.output}
    if [each.name for each in inputs] != ["image"] or not {"probs", "features"} <= outputs:
        raise Rejected("the model must take `image` and give `probs` and `features`")
    kind = inputs[0].type.tensor_type
    shape = [each.dim_value for each in kind.shape.dim]
    if kind.elem_type != onnx.TensorProto.UINT8 or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise Rejected("`image` must be uint8 [n, size, size, 3]")
    return int(shape[1])
