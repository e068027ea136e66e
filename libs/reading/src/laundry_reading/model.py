"""Reads laundry photos with an ONNX model, one thread at a time."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from laundry_reading.preprocess import PREPROCESS_VERSION, decode_for_model
from laundry_reading.priors import BranchPriors
from laundry_reading.several import count_garments, crops_of

Floats = npt.NDArray[np.float32]

MIN_SHOWN = 0.05
"""Classes less likely than this are not listed as guesses (the first always is)."""

MAX_SHOWN = 3
"""At most this many guesses are listed, best first."""


class ModelError(Exception):
    """The model file is broken, or is not one that this code can run."""


@dataclass(frozen=True)
class Label:
    """One guess: class, calibrated confidence 0..1, and how many pieces of it."""

    label: str
    confidence: float
    count: int = 1


@dataclass(frozen=True)
class Reading:
    """What a photo shows; `needs_review` when the model is not sure enough of it.

    How sure: the best guess's confidence times the chance that the photo shows any of the classes at all.
    `multiple` when it seems to show more than one garment: then a person is asked however sure the guess is.

    `labels` are guesses at the one garment, best first. If `multiple` they are garments, not guesses at one:
    the kinds that were found side by side with their counts, or, where no two were, the best guess alone.
    """

    labels: list[Label]
    needs_review: bool
    model_version: str
    multiple: bool = False


@dataclass(frozen=True)
class Seen:
    """A model's output for n photos.

    Attributes:
        probs: probability of each class, [n, labels].
        features: what the last layer sees, [n, d].
        known: chance 0..1 that a photo shows any of the classes, [n]; 1 where the model does not tell.
        several: chance 0..1 that a photo shows more than one garment, [n]; 0 where the model does not tell.
    """

    probs: Floats
    features: Floats
    known: Floats
    several: Floats


class Model:
    """A loaded model. Reading blocks and uses one thread: give it a worker thread, not the event loop."""

    def __init__(self, session: ort.InferenceSession, metadata: dict[str, str]) -> None:
        self._session = session
        try:
            self.version = metadata["version"]
            self.labels: tuple[str, ...] = tuple(json.loads(metadata["labels"]))
            self.threshold = float(metadata["threshold"])
            self.several_threshold = float(metadata.get("several_threshold", 1))
            self.preprocess_version = metadata["preprocess_version"]
            self.priors = BranchPriors.from_json(metadata.get("branch_priors", "{}"), labels=len(self.labels))
        except (KeyError, ValueError, TypeError) as error:
            raise ModelError(f"The model's metadata is missing or broken: {error}") from error
        if self.preprocess_version != PREPROCESS_VERSION:
            raise ModelError(
                f"The model wants preprocessing {self.preprocess_version!r}; "
                f"this code does {PREPROCESS_VERSION!r}."
            )
        chances = (self.threshold, self.several_threshold)
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise ModelError("The model's labels must be distinct.")
        if not all(0 <= chance <= 1 for chance in chances):
            raise ModelError("The model's thresholds must be between 0 and 1.")
        self.input_size = _check_shapes(session, len(self.labels))
        given = {each.name for each in session.get_outputs()}
        self._outputs = [name for name in ("probs", "features", "known", "several") if name in given]

    @classmethod
    def load(cls, source: Path | str | bytes, *, sha256: str | None = None) -> Model:
        """Load a model from a file or its bytes, and try it once.

        Args:
            source: path of the file, or its bytes.
            sha256: what the manifest says the file's hash is; None skips that check.

        Raises:
            ModelError: wrong hash, unreadable, wrong shapes, or it computes nonsense.
        """
        if isinstance(source, bytes):
            data = source
        else:
            try:
                data = Path(source).read_bytes()
            except OSError as error:
                raise ModelError(f"The model cannot be read: {error}") from error
        if sha256 is not None and (found := hashlib.sha256(data).hexdigest()) != sha256.lower():
            raise ModelError(f"The model's sha256 is {found}, expected {sha256}.")
        try:
            session = ort.InferenceSession(data, session_options(), providers=["CPUExecutionProvider"])
            metadata = dict(session.get_modelmeta().custom_metadata_map)
        except Exception as error:  # onnxruntime raises a class of its own for each cause
            raise ModelError(f"The model cannot be loaded: {error}") from error
        model = cls(session, metadata)
        model.predict(np.full((1, model.input_size, model.input_size, 3), 128, dtype=np.uint8))
        return model

    def read(self, photo: bytes, *, branch_id: str | None = None) -> Reading:
        """Read one photo, as one of a branch whose mix of classes the model may know.

        One that seems to show several garments is decoded once more, larger, and read part by part.

        Raises:
            PhotoError: the photo cannot be decoded.
            ModelError: the model failed on it.
        """
        seen = self.predict_all(decode_for_model(photo, self.input_size)[np.newaxis])
        probs = self.priors.applied(seen.probs[0], branch_id)
        reading = self.interpret(probs, float(seen.known[0]), float(seen.several[0]))
        if reading.multiple:
            return self.look_closer(reading, decode_for_model(photo, 2 * self.input_size), branch_id)
        return reading

    def look_closer(
        self, reading: Reading, larger: npt.NDArray[np.uint8], branch_id: str | None = None
    ) -> Reading:
        """Replace the guesses of a reading by the garments that parts of the photo show; by the best of them
        where fewer than two are found.

        Args:
            larger: the same photo, decoded to twice the size that the model reads, [2 s, 2 s, 3].
        """
        # One by one: on one thread a batch is no faster, and needs more memory.
        seen = [self.predict_all(crop[np.newaxis]) for crop in crops_of(larger, self.input_size)]
        probs = self.priors.applied(np.concatenate([each.probs for each in seen]), branch_id)
        found = count_garments(probs, np.concatenate([each.several for each in seen]))
        labels = [Label(self.labels[f.index], round(f.confidence, 4), f.count) for f in found]
        return replace(reading, labels=labels or reading.labels[:1])

    def interpret(self, probs: Floats, known: float = 1.0, several: float = 0.0) -> Reading:
        """Turn one row of probabilities, and the chances 0..1 of any class at all and of more than one
        garment, into a reading.
        """
        order = np.argsort(-probs, kind="stable")[:MAX_SHOWN]
        shown = [index for rank, index in enumerate(order) if rank == 0 or probs[index] >= MIN_SHOWN]
        labels = [Label(self.labels[index], round(float(probs[index]), 4)) for index in shown]
        multiple = several > self.several_threshold
        unsure = bool(probs[order[0]] * known < self.threshold)
        return Reading(labels, unsure or multiple, self.version, multiple)

    def predict(self, images: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Run decoded photos [n, size, size, 3] uint8; returns probabilities [n, labels] and features [n, d].

        Raises:
            ModelError: wrong input shape, or the model failed or returned what is no probability.
        """
        seen = self.predict_all(images)
        return seen.probs, seen.features

    def predict_all(self, images: npt.NDArray[np.uint8]) -> Seen:
        """Run decoded photos as ``predict`` does; returns all that the model says of them.

        Raises:
            ModelError: wrong input shape, or the model failed or returned what is no probability.
        """
        try:
            outputs = self._session.run(self._outputs, {"image": images})
        except Exception as error:
            raise ModelError(f"The model failed: {error}") from error
        found = dict(zip(self._outputs, outputs, strict=True))
        probs, count = found["probs"], len(found["probs"])
        if not np.isfinite(probs).all() or np.abs(probs.sum(axis=1) - 1).max(initial=0) > 1e-2:
            raise ModelError("The model returned values that are no probabilities.")
        known = found.get("known", np.ones(count, dtype=np.float32))
        several = found.get("several", np.zeros(count, dtype=np.float32))
        for name, chance in (("known", known), ("several", several)):
            if chance.shape != (count,) or not ((chance >= 0) & (chance <= 1)).all():
                raise ModelError(f"The model's `{name}` must be one probability a photo.")
        return Seen(probs, found["features"], known, several)


def session_options() -> ort.SessionOptions:
    """How models run here: one thread, which sleeps when it waits, and no memory kept between photos."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = (
        False  # the arena never shrinks below its largest batch; disabling it costs nothing measurable
    )
    options.log_severity_level = 3
    return options


def _check_shapes(session: ort.InferenceSession, labels: int) -> int:
    inputs: dict[str, Any] = {each.name: each for each in session.get_inputs()}
    outputs: dict[str, Any] = {each.name: each for each in session.get_outputs()}
    if set(inputs) != {"image"} or not {"probs", "features"} <= set(outputs):
        raise ModelError("The model must take `image` and give `probs` and `features`.")
    image = inputs["image"]
    shape = image.shape
    square = len(shape) == 4 and isinstance(shape[1], int) and shape[1] == shape[2] and shape[3] == 3
    if image.type != "tensor(uint8)" or not square:
        raise ModelError(f"`image` must be uint8 [n, size, size, 3], not {image.type} {shape}.")
    if outputs["probs"].shape[-1] != labels:
        raise ModelError(f"The model gives {outputs['probs'].shape[-1]} probabilities for {labels} labels.")
    return int(shape[1])
