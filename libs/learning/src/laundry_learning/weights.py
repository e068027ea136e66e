"""The weights that a fine-tuning starts from, in a file beside the model.

They are taken out of the network's file in floats, before it is quantised; ``python -m
laundry_learning.weights`` does so later. In that file batch normalisation is folded into the convolutions, so
each is set to do nothing but add the folded bias, which computes the same. Knows numpy and onnx, not torch.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from laundry_learning.artifacts import WEIGHTS_FIELD, Artifact, with_artifact
from laundry_reading.manifest import Manifest

BATCH_NORM_EPSILON = 1e-5
PREFIX = "net."

State = dict[str, npt.NDArray[Any]]


class BrokenWeights(Exception):
    """These are no weights of this network; the text says why."""


def pack(state: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Put a network's state, by name, into a file: what is large as float16, the rest as it is."""
    out = io.BytesIO()
    kept = {name: value.astype(np.float16) if value.ndim > 1 else value for name, value in state.items()}
    np.savez_compressed(out, allow_pickle=False, **kept)
    return out.getvalue()


def unpack(data: bytes) -> State:
    """Read what ``pack`` made; float16 becomes float32.

    Raises:
        BrokenWeights: it is no such file.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            state = {name: stored[name] for name in stored.files}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BrokenWeights(f"The weights cannot be read: {error}") from error
    floats = {name: each.astype(np.float32) for name, each in state.items() if each.dtype.kind == "f"}
    if not floats or not all(np.isfinite(each).all() for each in floats.values()):
        raise BrokenWeights("The weights hold none, or values that are no numbers.")
    return {**state, **floats}


def write(folder: Path, state: Mapping[str, npt.NDArray[Any]]) -> Manifest:
    """Write the weights beside the model in ``folder`` and name them in its manifest."""
    manifest = Manifest.from_json((folder / "manifest.json").read_bytes())
    data = pack(state)
    path = folder / f"{Path(manifest.file).stem}.weights.npz"
    path.write_bytes(data)
    entry = Artifact(version=manifest.version, file=path.name, sha256=hashlib.sha256(data).hexdigest())
    manifest = with_artifact(manifest, WEIGHTS_FIELD, entry)
    (folder / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def recover(file: bytes) -> State:
    """Take the weights out of a model file whose convolutions are stored as floats.

    Raises:
        BrokenWeights: they are not, or the file is not of this network.
    """
    stored = {
        each.name.removeprefix(PREFIX).removesuffix(".half"): onnx.numpy_helper.to_array(each)
        for each in onnx.load_from_string(file).graph.initializer
        if each.name.startswith(PREFIX)
    }
    state: State = {}
    for name, value in stored.items():
        if name.endswith("weight_bias"):
            state |= _only_adds(name.removesuffix(".weight_bias"), value.astype(np.float32))
        elif value.dtype.kind == "f":
            state[name] = value.astype(np.float32)
    if "trunk.0.weight" not in state or "trunk.1.bias" not in state or "head.weight" not in state:
        raise BrokenWeights(
            "This file does not hold the network's weights as floats. Train again with `make model`, which "
            "writes them beside the model."
        )
    return state


def _only_adds(convolution: str, bias: npt.NDArray[np.float32]) -> State:
    """Batch normalisation that adds a bias: it always follows its convolution at the next place."""
    place, _, number = convolution.rpartition(".")
    name, ones = f"{place}.{int(number) + 1}", np.ones_like(bias)
    return {
        f"{name}.weight": ones,
        f"{name}.bias": bias,
        f"{name}.running_mean": np.zeros_like(bias),
        f"{name}.running_var": ones * np.float32(1 - BATCH_NORM_EPSILON),
        f"{name}.num_batches_tracked": np.array(0, dtype=np.int64),
    }


def main() -> int:
    """Write the weights of the model in a folder beside it. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m laundry_learning.weights", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the model")
    parser.add_argument(
        "--floats",
        type=Path,
        default=Path("var/training/run.float.onnx"),
        help="the same network in floats, as its training left it",
    )
    arguments = parser.parse_args()
    try:
        state = recover(arguments.floats.read_bytes())
    except (OSError, BrokenWeights) as error:
        print(error, file=sys.stderr)
        return 2
    manifest = write(arguments.models, state)
    print(f"The weights of {manifest.version} are written beside the model and named in its manifest.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
