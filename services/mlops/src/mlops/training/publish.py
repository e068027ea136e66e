"""Turns a trained network into what is shipped: the file, judged as it is served, manifest and card."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from laundry_reading.manifest import Manifest
from laundry_reading.model import Model
from mlops.training.card import write_card
from mlops.training.dataset import LABELS
from mlops.training.evaluate import Evaluation, choose_threshold, evaluate, fit_temperature, softmax
from mlops.training.export import export, halve, middle, seal
from mlops.training.familiar import add_known, fit_known
from mlops.training.network import LaundryNet

NETWORK_NAME = "residual network with squeeze-and-excitation"
LARGEST_GAP = 0.005
"""Mean change of a probability that rounding the weights may cause."""

AIM = 0.955
"""Share of accepted readings that are right when the threshold is chosen: a little above the 95 % that are
promised, since the choice rests on a few hundred photos."""


class ExportError(Exception):
    """The exported file does not compute what the trained network does."""


@dataclass(frozen=True)
class Judges:
    """Held-out photos as served [n, s, s, 3], their classes and households; and photos of other things.

    ``training_pixels`` are the photos learnt from, as served, and ``training_known`` whether each shows one
    of the classes: the layer that tells those from other things is fitted to them.
    """

    pixels: npt.NDArray[np.uint8]
    targets: npt.NDArray[np.int64]
    households: Sequence[str]
    other_pixels: npt.NDArray[np.uint8]
    training_pixels: npt.NDArray[np.uint8]
    training_known: npt.NDArray[np.bool_]


def compute_logits(net: LaundryNet, pixels: npt.NDArray[np.uint8], view: int) -> npt.NDArray[np.float32]:
    """The network's logits [n, labels] as in the exported file: of the middle and its mirror image."""
    parts = [np.zeros((0, len(LABELS)), dtype=np.float32)]
    net.eval()
    with torch.no_grad():
        for start in range(0, len(pixels), 64):
            x = middle(torch.from_numpy(pixels[start : start + 64]).permute(0, 3, 1, 2), view).float()
            parts.append(((net(x)[1] + net(x.flip(3))[1]) / 2).numpy())
    return np.concatenate(parts)


def publish(
    net: LaundryNet,
    judges: Judges,
    facts: dict[str, Any],
    *,
    version: str,
    size: int,
    view: int,
    out: Path,
) -> tuple[Manifest, Evaluation]:
    """Calibrate, export, judge the file through the serving code, and write file, manifest and card to `out`.

    Raises:
        ExportError: the file's probabilities differ from the network's.
    """
    logits = compute_logits(net, judges.pixels, view)
    temperature = fit_temperature(logits, judges.targets)
    small = halve(export(net, size=size, view=view, temperature=temperature))
    # The other layer and the threshold belong to the file as served, so drafts of that file choose them.
    draft = Model.load(seal(small, version=version, labels=LABELS, threshold=1.0, temperature=temperature))
    small = add_known(small, *fit_known(_serve(draft, judges.training_pixels)[1], judges.training_known))
    draft = Model.load(seal(small, version=version, labels=LABELS, threshold=1.0, temperature=temperature))
    served, _, known = _serve(draft, judges.pixels)
    gap = float(np.abs(served - softmax(logits / temperature)).mean())
    if gap > LARGEST_GAP:
        raise ExportError(f"The exported file differs from the network by {gap:.4f} in the mean probability.")
    threshold = round(choose_threshold(served, judges.targets, AIM, known), 4)
    data = seal(small, version=version, labels=LABELS, threshold=threshold, temperature=temperature)
    model = Model.load(data)
    other, _, other_known = _serve(model, judges.other_pixels)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"laundry-{version}.onnx"
    path.write_bytes(data)
    result = evaluate(
        _log(served),
        judges.targets,
        judges.households,
        labels=LABELS,
        other_logits=_log(other),
        known=known,
        other_known=other_known,
        wanted=AIM,
    )
    manifest = Manifest(
        version=version,
        file=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        file_bytes=len(data),
        labels=list(LABELS),
        input_size=size,
        preprocess_version=model.preprocess_version,
        threshold=threshold,
        metrics={
            **asdict(result),
            "temperature": temperature,
            "milliseconds_per_photo": _milliseconds(model),
        },
        lineage={
            "network": NETWORK_NAME,
            "view_size": view,
            "arithmetic": "float32, convolution weights stored as float16; averaged with the mirror image",
            "rounding_gap": round(gap, 5),
            "parameters": sum(weights.numel() for weights in net.parameters()),
            **facts,
        },
        created_at=datetime.now(UTC).replace(microsecond=0),
    )
    (out / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    (out / "MODEL_CARD.md").write_text(write_card(manifest, result), encoding="utf-8")
    return manifest, result


def _serve(
    model: Model, pixels: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    rows = [model.predict_all(pixels[index : index + 1]) for index in range(len(pixels))]
    if not rows:
        return (
            np.zeros((0, len(model.labels)), np.float32),
            np.zeros((0, 0), np.float32),
            np.zeros(0, np.float32),
        )
    probs, features, known = (np.concatenate(part) for part in zip(*rows, strict=True))
    return probs, features, known


def _log(probs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.log(np.clip(probs, 1e-9, 1))


def _milliseconds(model: Model) -> float:
    image = np.full((1, model.input_size, model.input_size, 3), 128, dtype=np.uint8)
    times = []
    for _ in range(60):
        began = time.perf_counter()
        model.predict(image)
        times.append(time.perf_counter() - began)
    return round(float(np.median(times)) * 1000, 2)
