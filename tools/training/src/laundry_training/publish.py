"""Exports the trained network from torch: one float32 file and a record of how it was trained."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from laundry_learning.artifacts import WEIGHTS_FIELD, artifact_of
from laundry_learning.dataset import LABELS
from laundry_learning.weights import unpack
from laundry_reading.manifest import Manifest
from laundry_training.export import export, middle
from laundry_training.network import LaundryNet
from laundry_training.refine import load_network

NETWORK_NAME = "residual network with squeeze-and-excitation"


OF_FINISHING = {"arithmetic", "rounding_gap"}
"""What a manifest tells of the finishing, not of the training."""


class NothingTrained(Exception):
    """There is no trained network of this name."""


def compute_logits(net: LaundryNet, pixels: npt.NDArray[np.uint8], view: int) -> npt.NDArray[np.float32]:
    """The network's logits [n, labels] as in the exported file: of the middle and its mirror image."""
    parts = [np.zeros((0, len(LABELS)), dtype=np.float32)]
    net.eval()
    with torch.no_grad():
        for start in range(0, len(pixels), 64):
            x = middle(torch.from_numpy(pixels[start : start + 64]).permute(0, 3, 1, 2), view).float()
            parts.append(((net(x)[1] + net(x.flip(3))[1]) / 2).numpy())
    return np.concatenate(parts)


def bring_out(
    net: LaundryNet, facts: dict[str, Any], *, size: int, view: int, work: Path, run: str
) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Write ``run.float.onnx`` and ``run.facts.json`` to ``work``, and return both."""
    plain = export(net, size=size, view=view, temperature=1.0)
    facts = {
        "network": NETWORK_NAME,
        "view_size": view,
        "parameters": sum(weights.numel() for weights in net.parameters()),
        **facts,
    }
    onnx.save(plain, work / f"{run}.float.onnx")
    (work / f"{run}.facts.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return plain, facts


def take_up(work: Path, run: str) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Read what ``bring_out`` wrote.

    Raises:
        NothingTrained: it is not there.
    """
    try:
        plain = onnx.load(work / f"{run}.float.onnx")
        facts: dict[str, Any] = json.loads((work / f"{run}.facts.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise NothingTrained(f"Train first: {error.filename} is not there.") from error
    return plain, facts


def take_weights(file: Path, *, size: int, work: Path, run: str) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Bring out the network of a weights file that lies beside its manifest, as if it had just been trained.

    Raises:
        NothingTrained: file or manifest is not there, or the manifest names other weights.
        BrokenWeights: they are of no such network.
    """
    try:
        data = file.read_bytes()
        manifest = Manifest.from_json(file.with_name("manifest.json").read_bytes())
    except (OSError, ValueError) as error:
        raise NothingTrained(f"Weights beside their manifest are needed: {error}") from error
    entry = artifact_of(manifest, WEIGHTS_FIELD)
    if entry is None or entry.sha256 != hashlib.sha256(data).hexdigest():
        raise NothingTrained(f"{file.with_name('manifest.json')} is the manifest of other weights.")
    facts = {name: fact for name, fact in manifest.lineage.items() if name not in OF_FINISHING}
    facts["network_of"] = facts.get("network_of", manifest.version)
    view = int(facts["view_size"])
    return bring_out(load_network(unpack(data)), facts, size=size, view=view, work=work, run=run)
