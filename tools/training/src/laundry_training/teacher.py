"""The teacher's output for many views of each photo, computed once and cached."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch

from laundry_training.augment import draw_frames, take

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TeacherTargets:
    """For each photo and view: where the camera stood, what the teacher said and what it saw."""

    frames: npt.NDArray[np.float32]  # [n, views, 2, 3]
    probs: npt.NDArray[np.float32]  # [n, views, labels]
    features: npt.NDArray[np.float16]  # [n, views, d]


def ask_teacher(
    model: Path, pixels: npt.NDArray[np.uint8], views: int, cache: Path, progress: Progress
) -> TeacherTargets:
    """Ask the teacher about `views` random views of each photo; the answers are kept in `cache`."""
    key = hashlib.sha256(model.read_bytes() + pixels.tobytes()).hexdigest()[:12]
    kept = cache / f"lessons-{views}-{key}.npz"
    if kept.is_file():
        with np.load(kept) as saved:
            return TeacherTargets(saved["frames"], saved["probs"], saved["features"])
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    size = int(session.get_inputs()[0].shape[1])
    generator = torch.Generator().manual_seed(1)
    count = len(pixels)
    frames = torch.stack([draw_frames(count, generator) for _ in range(views)], 1)
    probs: list[npt.NDArray[np.float32]] = []
    features: list[npt.NDArray[np.float16]] = []
    batch = 16
    for start in range(0, count, batch):
        own = torch.from_numpy(pixels[start : start + batch])
        wanted = frames[start : start + batch]
        seen = take(own.repeat_interleave(views, 0), wanted.reshape(-1, 2, 3), size)
        image = seen.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        said, saw = session.run(["probs", "feat"], {"image": image})
        probs.append(said.reshape(len(own), views, -1))
        features.append(saw.reshape(len(own), views, -1).astype(np.float16))
        progress(min(start + batch, count), count)
    targets = TeacherTargets(frames.numpy(), np.concatenate(probs), np.concatenate(features))
    partial = kept.with_suffix(".part.npz")
    np.savez(partial, frames=targets.frames, probs=targets.probs, features=targets.features)
    partial.replace(kept)
    return targets
