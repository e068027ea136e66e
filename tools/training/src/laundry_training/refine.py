"""Fine-tuning: the whole network is trained a little further, regularised by its former output.

Each photo of the former training is also judged by the network as it was, whose answer counts beside the
label (learning without forgetting, Li and Hoiem 2016). Corrections count by their label alone: there the
former answer may be the very mistake. Statistics of batch normalisation stay as they are.
"""

# mypy: disable-error-code="no-untyped-call,no-any-return"

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from laundry_learning.dataset import LABELS, UNKNOWN
from laundry_learning.fine_tuning.recipe import Recipe, draw_order
from laundry_learning.weights import BrokenWeights, State
from laundry_training.augment import draw_frames, hide_part, relight, take
from laundry_training.fit import follow
from laundry_training.network import LaundryNet

REPORT_EVERY = 5
"""Steps between reports."""


@dataclass(frozen=True)
class Material:
    """What is learnt from: pixels [n, s, s, 3], class numbers [n] (-1: none), and the weights 0..1 [m] of the
    last m of them, which are corrections.
    """

    pixels: npt.NDArray[np.uint8]
    targets: npt.NDArray[np.int64]
    corrections: npt.NDArray[np.float64]


Report = Callable[[float, str | None], None]


def load_network(state: State) -> LaundryNet:
    """Make the network with these weights.

    Raises:
        BrokenWeights: they are of another network.
    """
    net = LaundryNet(len(LABELS), drop=0.0)
    given = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    try:
        # Mean and scale of pixels are constants of the code.
        given |= {name: getattr(net, name) for name in ("mean", "scale")}
        net.load_state_dict(given)
    except RuntimeError as error:
        raise BrokenWeights(f"The weights are of another network: {str(error)[:300]}") from error
    return net


def refine(
    net: LaundryNet, material: Material, recipe: Recipe, *, checkpoint: Path, report: Report
) -> LaundryNet:
    """Fine-tune until the course is done, from ``checkpoint`` on if it is there; returns the average."""
    before = copy.deepcopy(net).eval()
    net = net.to(memory_format=torch.channels_last)
    average = copy.deepcopy(net).eval()
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": recipe.decay},
            {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=recipe.rate,
    )
    epoch, step = 0, 0
    if checkpoint.is_file():
        saved = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(saved["net"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        epoch, step = saved["epoch"], saved["step"]
        report(epoch / recipe.epochs, f"going on after epoch {epoch} of {recipe.epochs}")
    photos = len(material.targets) - len(material.corrections)
    while epoch < recipe.epochs:
        torch.manual_seed(recipe.seed + epoch)
        order = draw_order(np.random.default_rng(recipe.seed + epoch), photos, material.corrections, recipe)
        batches = np.array_split(order, max(1, round(len(order) / recipe.batch)))
        losses = []
        for index, chosen in enumerate(batches):
            done = (epoch + index / len(batches)) / recipe.epochs
            slow = min(1.0, (step + 1) / recipe.warm_up) * (0.5 + 0.5 * math.cos(math.pi * done))
            for group in optimizer.param_groups:
                group["lr"] = max(slow, 0.01) * recipe.rate
            _learn_mode(net)
            loss = _loss(net, before, material, recipe, chosen)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            step += 1
            follow(average, net, min(recipe.average, (1 + step) / (10 + step)))
            losses.append(float(loss.detach()))
            if index % REPORT_EVERY == 0:
                report(done, None)
        epoch += 1
        _save(checkpoint, net, average, optimizer, epoch=epoch, step=step)
        report(epoch / recipe.epochs, f"epoch {epoch} of {recipe.epochs}: loss {float(np.mean(losses)):.3f}")
    return average


def _learn_mode(net: nn.Module) -> None:
    net.train()
    for each in net.modules():
        if isinstance(each, nn.BatchNorm2d):
            each.eval()


def _loss(
    net: LaundryNet,
    before: LaundryNet,
    material: Material,
    recipe: Recipe,
    chosen: npt.NDArray[np.int64],
) -> Tensor:
    targets = torch.from_numpy(material.targets[chosen])
    corrected = torch.from_numpy(chosen >= len(material.targets) - len(material.corrections))
    x = take(torch.from_numpy(material.pixels[chosen]), draw_frames(len(chosen), None), recipe.view)
    x = hide_part(relight(x)).contiguous(memory_format=torch.channels_last)
    logits = net(x)[1]
    with torch.no_grad():
        soft = torch.softmax(before(x)[1] / recipe.temperature, 1)
    known = targets != UNKNOWN
    hard = F.cross_entropy(logits, targets.clamp(min=0), reduction="none", label_smoothing=recipe.smoothing)
    heed = -(soft * F.log_softmax(logits / recipe.temperature, 1)).sum(1) * recipe.temperature
    return (hard * known).mean() + (heed * ~corrected).mean()


def _save(path: Path, net: LaundryNet, average: LaundryNet, optimizer: Any, *, epoch: int, step: int) -> None:
    partial = path.with_suffix(".part")
    torch.save(
        {
            "net": net.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": epoch,
            "step": step,
        },
        partial,
    )
    partial.replace(path)
