"""From the trained network in float32 to what is shipped: eight bits, the layers beside the last one, its
temperature and thresholds, judged as it is served, with manifest and card.
"""

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
import onnx

from laundry_learning.dataset import LABELS
from laundry_learning.graph import read_head, replace_head
from laundry_learning.head import Head
from laundry_reading.manifest import Manifest
from laundry_reading.model import Model, Seen
from laundry_training.auxiliary_heads import activations_of, add_inputs, add_layer, hide_inputs
from laundry_training.card import write_card
from laundry_training.evaluate import Evaluation, choose_threshold, evaluate, fit_temperature
from laundry_training.export import seal
from laundry_training.out_of_distribution import Photos, fit_known, judge_drawn, layer_examples_of
from laundry_training.piles import judge_piles, piles_to_judge, piles_to_learn
from laundry_training.quantise import quantise
from laundry_training.several import choose_several_threshold, fit_several

LARGEST_GAP = 0.005
"""Mean change of a probability that eight bits may cause."""

AIM = 0.953
"""Share of accepted readings that are right when the threshold is chosen: a little above the 95 % that are
promised, since the choice rests on a few hundred photos."""

DRAFT = "draft"
Pixels = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


class FinishError(Exception):
    """The finished file does not compute what the trained network does."""


@dataclass(frozen=True)
class Judges:
    """Held-out photos as served [n, s, s, 3], their classes and households; and photos of other things.

    ``training`` are the photos learnt from: the layers beside the last one are fitted to them. ``large`` are
    held-out photos of the classes in the size from which pictures are composed.
    """

    pixels: Pixels
    targets: Ints
    households: Sequence[str]
    other_pixels: Pixels
    large: Pixels
    training: Photos


def finish(
    plain: onnx.ModelProto, judges: Judges, facts: dict[str, Any], *, version: str, out: Path
) -> tuple[Manifest, Evaluation]:
    """Finish the float32 network ``plain`` and write file, manifest and card to ``out``.

    Args:
        plain: `image` to `probs` and `features`; its temperature is replaced.
        facts: how it was trained, for manifest and card; ``view_size`` and ``parameters`` among them.

    Raises:
        FinishError: in eight bits it is another network.
    """
    exact = _run(_load(plain), judges.pixels)
    small = add_inputs(quantise(plain, judges.training.served))
    draft = _run(_load(small), judges.pixels)
    gap = float(np.abs(draft.probs - exact.probs).mean())
    if gap > LARGEST_GAP:
        raise FinishError(f"Eight bits change the mean probability by {gap:.4f}.")
    temperature = fit_temperature(_log(draft.probs), judges.targets)
    small = onnx.load_from_string(_warm(small, temperature))
    training, size = judges.training, judges.pixels.shape[1]
    activations = activations_of(small, training.served)
    layer_examples = layer_examples_of(small, training, activations)
    known = training.targets >= 0
    piles = piles_to_learn(training.large[known], training.targets[known], size)
    several = fit_several(small, activations.inputs, piles)
    small = add_layer(small, fit_known(layer_examples), "known")
    small = hide_inputs(add_layer(small, several, "several"))
    held, other = _run(_load(small), judges.pixels), _run(_load(small), judges.other_pixels)
    several_threshold = round(choose_several_threshold(held.several), 4)
    sole, other_sole = (_sole(seen, several_threshold) for seen in (held, other))
    threshold = round(choose_threshold(held.probs, judges.targets, AIM, sole), 4)
    data = seal(
        small,
        version=version,
        labels=LABELS,
        threshold=threshold,
        temperature=temperature,
        several_threshold=several_threshold,
    )
    result = evaluate(
        _log(held.probs),
        judges.targets,
        judges.households,
        labels=LABELS,
        other_logits=_log(other.probs),
        known=sole,
        other_known=other_sole,
        wanted=AIM,
    )
    model = Model.load(data)
    heaps = judge_piles(model, piles_to_judge(judges.large, judges.targets, model.input_size))
    drawn = judge_drawn(model, judges.large)
    metrics = {
        **asdict(result),
        "temperature": temperature,
        "several_threshold": several_threshold,
        "false_alarms": float((held.several > several_threshold).mean()),
        "piles": [asdict(each) for each in heaps],
        "no_garment": [asdict(each) for each in drawn],
        "milliseconds_per_photo": _milliseconds(model),
    }
    manifest = _write(out, data, model, metrics, {**facts, "rounding_gap": round(gap, 5)})
    (out / "MODEL_CARD.md").write_text(write_card(manifest, result, heaps, drawn), encoding="utf-8")
    return manifest, result


def _write(out: Path, data: bytes, model: Model, metrics: dict[str, Any], facts: dict[str, Any]) -> Manifest:
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"laundry-{model.version}.onnx"
    path.write_bytes(data)
    manifest = Manifest(
        version=model.version,
        file=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        file_bytes=len(data),
        labels=list(model.labels),
        input_size=model.input_size,
        preprocess_version=model.preprocess_version,
        threshold=model.threshold,
        metrics=metrics,
        lineage={
            "arithmetic": "convolutions in 8 bits (7-bit weights), the rest in float32; averaged with the "
            "mirror image",
            **facts,
        },
        created_at=datetime.now(UTC).replace(microsecond=0),
    )
    (out / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def _warm(model: onnx.ModelProto, temperature: float) -> bytes:
    """Put the temperature into the last layer."""
    data = _sealed(model)
    head = read_head(data)
    return replace_head(data, Head(head.weights / temperature, head.bias / temperature), version=DRAFT)


def _sole(seen: Seen, several_threshold: float) -> npt.NDArray[np.float32]:
    """The chance of being any of the classes; 0 where several garments are seen, which nobody may accept."""
    return np.where(seen.several > several_threshold, np.float32(0), seen.known)


def _sealed(model: onnx.ModelProto) -> bytes:
    return seal(model, version=DRAFT, labels=LABELS, threshold=1.0, temperature=1.0)


def _load(model: onnx.ModelProto) -> Model:
    return Model.load(_sealed(model))


def _run(model: Model, pixels: Pixels) -> Seen:
    """What the model says of each photo when it is read alone, as it is in service."""
    if not len(pixels):
        none = np.zeros(0, dtype=np.float32)
        return Seen(np.zeros((0, len(model.labels)), np.float32), np.zeros((0, 1), np.float32), none, none)
    seen = [model.predict_all(pixels[index : index + 1]) for index in range(len(pixels))]
    return Seen(
        np.concatenate([each.probs for each in seen]),
        np.concatenate([each.features for each in seen]),
        np.concatenate([each.known for each in seen]),
        np.concatenate([each.several for each in seen]),
    )


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
