"""Stands in for the trainer, which needs torch: ``fake_trainer.py MODE <folder>``."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from laundry_learning import dataset, weights
from laundry_learning.fine_tuning.contract import CHECKPOINT_FILE, OUT_FOLDER, Line, Order
from laundry_testing.models import colour_model, manifest_of, ship

RIGHT = {"t-shirt": 0, "pants": 1, "shoes": 2}
CONFUSED = {"t-shirt": 0, "pants": 2, "shoes": 1}


def model(version: str, colours: dict[str, int]) -> bytes:
    """A model of the training's classes that names these by a colour."""
    rows = np.zeros((len(dataset.LABELS), 3), dtype=np.float32)
    for label, colour in colours.items():
        # No surer than that, or people who correct it would pass for careless.
        rows[dataset.LABELS.index(label), colour] = 4
    return colour_model(version, labels=dataset.LABELS, weights=rows)


def doubting(data: bytes, mode: str) -> bytes:
    """The same model, to which no photo shows any of the classes (``unknown``), or each several garments."""
    found = onnx.load_from_string(data)
    output, chance = ("known", 0.0) if mode == "unknown" else ("several", 1.0)
    found.graph.initializer.append(numpy_helper.from_array(np.array([1]), "doubt.last"))
    found.graph.initializer.append(numpy_helper.from_array(np.array(chance, dtype=np.float32), "doubt"))
    found.graph.node.extend(
        [
            helper.make_node("ReduceMax", ["probs", "doubt.last"], ["doubt.best"], keepdims=0),
            helper.make_node("Sub", ["doubt.best", "doubt.best"], ["doubt.none"]),
            helper.make_node("Add", ["doubt.none", "doubt"], [output]),
        ]
    )
    found.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n"]))
    told = {each.key: each.value for each in found.metadata_props}
    helper.set_model_props(found, {**told, "several_threshold": "0.5"})
    return bytes(found.SerializeToString())


def put(folder: Path, version: str, colours: dict[str, int], mode: str = "good") -> None:
    """Lay a model with its manifest and weights into a folder."""
    data = model(version, colours)
    if mode in ("unknown", "several"):
        data = doubting(data, mode)
    ship(folder, version, data)
    manifest = manifest_of(version, data, labels=dataset.LABELS)
    (folder / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    weights.write(folder, {"head.weight": np.full((2, 2), 0.5)})


def tell(**line: object) -> None:
    print(Line.model_validate(line).model_dump_json(exclude_none=True), flush=True)


def main() -> int:
    mode, folder = sys.argv[1], Path(sys.argv[2])
    order = Order.load(folder)
    checkpoint = folder / CHECKPOINT_FILE
    laid_out = all((folder / "photos" / f"{each.photo}.npy").is_file() for each in order.corrections)
    tell(
        note=f"corrections: {len(order.corrections)}, laid out: {laid_out}, going on: {checkpoint.is_file()}"
    )
    tell(note=f"foreign settings: {sorted(n for n in os.environ if n.startswith(('LAUNDRY', 'S3')))}")
    tell(done=0.4)
    if mode == "refuse":
        tell(error="The photos are of another planet.")
        return 2
    if mode == "crash":
        raise OSError("disk is full")
    if mode == "wait":
        tell(note=f"pid {os.getpid()}")
        sys.stdin.buffer.read()
        return 3
    if mode == "die" and not checkpoint.is_file():
        checkpoint.write_text(order.version)
        os.kill(os.getpid(), signal.SIGKILL)
    if checkpoint.is_file():
        tell(note=f"began as {checkpoint.read_text()}, ends as {order.version}")
    put(folder / OUT_FOLDER, order.version, CONFUSED if mode == "same" else RIGHT, mode)
    return 0


if __name__ == "__main__":
    sys.exit(main())
