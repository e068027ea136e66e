"""The training loop: learn from labels and teacher, keep a moving average, checkpoint every epoch."""

# mypy: disable-error-code="no-untyped-call,no-any-return"

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from laundry_training.augment import hide_part, mix, relight, take
from laundry_training.network import LaundryNet
from laundry_training.teacher import TeacherTargets


@dataclass(frozen=True)
class Plan:
    """How to train. The learning rate falls with epochs or with minutes, whichever runs out first.

    Most epochs see pictures a little smaller than those that are read later: random framing shows garments
    larger than they are in a whole photo, and smaller pictures make up for that (Touvron et al. 2019).
    """

    epochs: int = 80
    minutes: float = 75.0
    batch: int = 64
    rate: float = 2e-3
    decay: float = 0.05
    average: float = 0.995
    small: int = 80
    full: int = 96
    small_until: float = 0.7
    mix_until: float = 0.85
    judge_every: int = 5
    temperature: float = 2.0
    hard: float = 1.0
    doubt: float = 0.3
    mimic: float = 2.0
    seed: int = 7

    def again(self, epochs: int) -> Plan:
        """Return the plan of a second round from the network of this one: longer, and a slower average.

        A student of a teacher gets better for much longer than one of labels does (Beyer et al. 2022); warm
        restarts are of Loshchilov and Hutter 2017.
        """
        return replace(self, epochs=epochs, rate=0.75 * self.rate, average=0.998, seed=self.seed + 16)


@dataclass(frozen=True)
class Pupil:
    """What is learnt from: pixels [n, s, s, 3], class numbers [n] (-1: none), and what the teacher says."""

    pixels: npt.NDArray[np.uint8]
    targets: npt.NDArray[np.int64]
    teacher_targets: TeacherTargets | None


@dataclass(frozen=True)
class EpochReport:
    """How the training stands after an epoch.

    Attributes:
        loss: mean of its batches; ``size``: edge of what was shown, pixels.
        used: share 0..1 of the plan that is used up; ``spent``: seconds so far.
        accuracy: share 0..1 of the held-out photos guessed right, None where it was not measured.
    """

    epoch: int
    loss: float
    size: int
    used: float
    spent: float
    accuracy: float | None


Report = Callable[[EpochReport], None]
Judge = Callable[[LaundryNet], float]


class Student(nn.Module):  # type: ignore[misc]
    """The network plus, in training only, a layer that retells its features in the teacher's terms."""

    def __init__(self, labels: int, told: int) -> None:
        super().__init__()
        self.net = LaundryNet(labels)
        self.retell = nn.Linear(self.net.head.in_features, told)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        seen, logits = self.net(x)
        return logits, self.retell(seen)


def fit(
    pupil: Pupil,
    labels: int,
    plan: Plan,
    *,
    checkpoint: Path,
    judge: Judge,
    report: Report,
    start: LaundryNet | None = None,
) -> LaundryNet:
    """Train until the plan is used up, from `checkpoint` on if it is there; returns the averaged network.

    Args:
        start: the network of an earlier round; None is random weights.
    """
    torch.manual_seed(plan.seed)
    told = pupil.teacher_targets.features.shape[-1] if pupil.teacher_targets is not None else 1
    student = Student(labels, told)
    if start is not None:
        student.net.load_state_dict(start.state_dict())
    student = student.to(memory_format=torch.channels_last)
    average = copy.deepcopy(student.net).eval()
    weights = [p for p in student.parameters() if p.ndim > 1]
    others = [p for p in student.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": weights, "weight_decay": plan.decay}, {"params": others, "weight_decay": 0.0}],
        lr=plan.rate,
    )
    epoch, spent, step = 0, 0.0, 0
    if checkpoint.is_file():
        saved = torch.load(checkpoint, weights_only=True)
        student.load_state_dict(saved["student"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        epoch, spent, step = saved["epoch"], saved["spent"], saved["step"]
        torch.manual_seed(plan.seed + epoch)
    while (used := max(epoch / plan.epochs, spent / (60 * plan.minutes))) < 1:
        began = time.monotonic()
        size = plan.small if used < plan.small_until else plan.full
        student.train()
        losses: list[float] = []
        order = torch.randperm(len(pupil.targets))
        steps = len(order) // plan.batch
        for index in range(steps):
            now = max(
                (epoch + index / steps) / plan.epochs,
                (spent + time.monotonic() - began) / (60 * plan.minutes),
            )
            rate = plan.rate * min(1.0, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, now)))
            for group in optimizer.param_groups:
                group["lr"] = max(rate, plan.rate * 0.003)
            chosen = order[index * plan.batch : (index + 1) * plan.batch]
            loss = _loss(student, pupil, plan, chosen, size=size, labels=labels, mixing=used < plan.mix_until)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(student.parameters(), 5.0)
            optimizer.step()
            step += 1
            follow(average, student.net, min(plan.average, (1 + step) / (20 + step)))
            losses.append(float(loss.detach()))
        epoch += 1
        spent += time.monotonic() - began
        _save(checkpoint, student, average, optimizer, epoch=epoch, spent=spent, step=step, plan=plan)
        report(
            EpochReport(
                epoch=epoch,
                loss=float(np.mean(losses)),
                size=size,
                used=max(epoch / plan.epochs, spent / (60 * plan.minutes)),
                spent=spent,
                accuracy=judge(average) if epoch % plan.judge_every == 0 else None,
            )
        )
    return average


def _loss(
    student: Student, pupil: Pupil, plan: Plan, chosen: Tensor, *, size: int, labels: int, mixing: bool
) -> Tensor:
    numbers = chosen.numpy()
    pixels = torch.from_numpy(pupil.pixels[numbers])
    targets = torch.from_numpy(pupil.targets[numbers])
    teacher_targets = pupil.teacher_targets
    if teacher_targets is None:
        raise ValueError("nothing to train on")
    view = torch.randint(0, teacher_targets.frames.shape[1], (len(chosen),)).numpy()
    frames = torch.from_numpy(teacher_targets.frames[numbers, view])
    said = torch.from_numpy(teacher_targets.probs[numbers, view])
    saw = torch.from_numpy(teacher_targets.features[numbers, view].astype(np.float32))
    x = take(pixels, frames, size)
    mirrored = torch.rand(len(chosen)) < 0.5
    x[mirrored] = x[mirrored].flip(3)
    x = hide_part(relight(x))
    known = (targets >= 0).float()
    truth = F.one_hot(targets.clamp(min=0), labels).float() * 0.95 + 0.05 / labels
    # A rare class counts for more, or the model learns to doubt it wherever it is hard.
    counts = np.bincount(pupil.targets[pupil.targets >= 0], minlength=labels)
    weight = torch.from_numpy((counts.mean() / np.maximum(counts, 1)) ** 0.5).float()
    truth = truth * weight[targets.clamp(min=0)].unsqueeze(1)
    soft = said.clamp(min=1e-6) ** (1 / plan.temperature)
    soft = soft / soft.sum(1, keepdim=True)
    # Of a garment that is none of the classes the teacher's guess is wrong by definition: teach doubt too.
    doubt = (1 - known).unsqueeze(1) * plan.doubt
    soft = soft * (1 - doubt) + doubt / labels
    x, partner, share = mix(x) if mixing else (x, torch.arange(len(x)), torch.ones(len(x)))
    own, other = share.unsqueeze(1), (1 - share).unsqueeze(1)
    soft = soft * own + soft[partner] * other
    truth = truth * own * known.unsqueeze(1) + truth[partner] * other * known[partner].unsqueeze(1)
    saw = F.normalize(saw, dim=1)
    saw = saw * own + saw[partner] * other
    logits, retold = student(x.contiguous(memory_format=torch.channels_last))
    hard = -(truth * F.log_softmax(logits, 1)).sum(1).mean()
    heed = -(soft * F.log_softmax(logits / plan.temperature, 1)).sum(1).mean() * plan.temperature
    mimic = (1 - F.cosine_similarity(retold, saw)).mean()
    return plan.hard * hard + heed + plan.mimic * mimic


def follow(average: nn.Module, leader: nn.Module, keep: float) -> None:
    """Move an average of weights towards the leader's: it keeps the share ``keep`` of itself."""
    with torch.no_grad():
        theirs = leader.state_dict()
        for name, mine in average.state_dict().items():
            if mine.dtype.is_floating_point:
                mine.lerp_(theirs[name], 1 - keep)
            else:
                mine.copy_(theirs[name])


def _save(
    path: Path,
    student: Student,
    average: nn.Module,
    optimizer: Any,
    *,
    epoch: int,
    spent: float,
    step: int,
    plan: Plan,
) -> None:
    partial = path.with_suffix(".part")
    torch.save(
        {
            "student": student.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": epoch,
            "spent": spent,
            "step": step,
            "plan": asdict(plan),
        },
        partial,
    )
    partial.replace(path)
