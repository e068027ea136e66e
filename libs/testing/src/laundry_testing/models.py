"""Tiny models for tests: real ONNX files that tell photos apart by their colour."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from laundry_reading.manifest import Manifest
from laundry_reading.preprocess import PREPROCESS_VERSION
from laundry_reading.signing import SigningKey

LABELS = ("t-shirt", "pants", "shoes")
COLOURS = {"t-shirt": (220, 30, 30), "pants": (30, 220, 30), "shoes": (30, 30, 220)}
SIZE = 32
KEY = SigningKey.generate()
"""Signs the models of this test run; nothing that outlives it trusts this key."""


def colour_model(
    version: str,
    *,
    labels: Sequence[str] = LABELS,
    weights: npt.NDArray[np.float32] | None = None,
    temperature: float = 1.0,
    threshold: float = 0.6,
) -> bytes:
    """A model whose features are a photo's mean red, green and blue (0..1) and whose last layer is linear.

    Args:
        weights: last layer, shape [labels, 3]; by default the strongest colour names the label.
    """
    if weights is None:
        weights = np.eye(len(labels), 3, dtype=np.float32) * 8
    inputs = [
        numpy_helper.from_array(np.array([1, 2], dtype=np.int64), "axes"),
        numpy_helper.from_array(np.array(1 / 255, dtype=np.float32), "scale"),
        numpy_helper.from_array(weights.astype(np.float32), "head.weight"),
        numpy_helper.from_array(np.zeros(len(labels), dtype=np.float32), "head.bias"),
        numpy_helper.from_array(np.array(temperature, dtype=np.float32), "temperature"),
    ]
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["colour"], keepdims=0),
        helper.make_node("Mul", ["colour", "scale"], ["features"]),
        helper.make_node("Gemm", ["features", "head.weight", "head.bias"], ["logits"], transB=1),
        helper.make_node("Div", ["logits", "temperature"], ["cooled"]),
        helper.make_node("Softmax", ["cooled"], ["probs"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", SIZE, SIZE, 3])],
        [
            helper.make_tensor_value_info("probs", TensorProto.FLOAT, ["n", len(labels)]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3]),
        ],
        inputs,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    helper.set_model_props(
        model,
        {
            "version": version,
            "labels": json.dumps(list(labels)),
            "threshold": repr(threshold),
            "preprocess_version": PREPROCESS_VERSION,
        },
    )
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def averaged(file: bytes) -> onnx.ModelProto:
    """The model of ``colour_model`` with places averaged as the shipped one does it: a mean, then a shape."""
    model = onnx.load_from_string(file)
    graph = model.graph
    kept = [node for node in graph.node if node.output[0] not in {"colour", "features"}]
    cast = next(node for node in kept if node.output[0] == "floats")
    del graph.node[:]
    graph.node.extend(
        [
            cast,
            helper.make_node("Transpose", ["floats"], ["turned"], perm=[0, 3, 1, 2]),
            helper.make_node("Mul", ["turned", "scale"], ["map"]),
            helper.make_node("ReduceMean", ["map", "places"], ["mean"], keepdims=0),
            helper.make_node("Reshape", ["mean", "shape"], ["features"]),
            *(node for node in kept if node is not cast),
        ]
    )
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([2, 3], dtype=np.int64), "places"),
            numpy_helper.from_array(np.array([-1, 3], dtype=np.int64), "shape"),
        ]
    )
    onnx.checker.check_model(model)
    return model


def seeing_several(data: bytes, *, threshold: float = 0.3) -> bytes:
    """The same model, which takes what it is unsure of for several garments: two colours, for example."""
    model = onnx.load_from_string(data)
    model.graph.node.extend(
        [
            helper.make_node("ReduceMax", ["probs", "last"], ["best"], keepdims=0),
            helper.make_node("Sub", ["one", "best"], ["several"]),
        ]
    )
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([1], dtype=np.int64), "last"),
            numpy_helper.from_array(np.array(1, dtype=np.float32), "one"),
        ]
    )
    model.graph.output.append(helper.make_tensor_value_info("several", TensorProto.FLOAT, ["n"]))
    told = {each.key: each.value for each in model.metadata_props}
    helper.set_model_props(model, {**told, "several_threshold": repr(threshold)})
    onnx.checker.check_model(model)
    seeing: bytes = model.SerializeToString()
    return seeing


def manifest_of(
    version: str, data: bytes, *, labels: Sequence[str] = LABELS, threshold: float = 0.6
) -> Manifest:
    """The manifest of a model that ``colour_model`` made."""
    return Manifest(
        version=version,
        file=f"laundry-{version}.onnx",
        sha256=hashlib.sha256(data).hexdigest(),
        file_bytes=len(data),
        labels=list(labels),
        input_size=SIZE,
        preprocess_version=PREPROCESS_VERSION,
        threshold=threshold,
        metrics={"top1": 0.9},
        lineage={"network": "colours"},
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def ship(folder: Path, version: str, data: bytes | None = None) -> Manifest:
    """Write a model and its manifest into a folder, as the shipped one is."""
    data = data if data is not None else colour_model(version)
    manifest = manifest_of(version, data)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / manifest.file).write_bytes(data)
    (folder / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def photo_of(label: str, *, size: tuple[int, int] = (320, 240), seed: int = 0) -> bytes:
    """A JPEG in a label's colour with some noise, so that no two seeds give the same bytes."""
    noise = np.random.default_rng(seed).normal(0, 12, (size[1], size[0], 3))
    pixels = np.clip(np.array(COLOURS[label]) + noise, 0, 255).astype(np.uint8)
    out = BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=85)
    return out.getvalue()
