"""Augmentation: other ways the same garment could have been photographed."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def draw_frames(count: int, generator: torch.Generator | None) -> Tensor:
    """Random camera positions as affine maps [count, 2, 3]: nearer or farther, tilted, shifted, mirrored."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, generator=generator) * (high - low) + low

    zoom = torch.exp(uniform(math.log(0.55), math.log(1.08)))
    stretch = torch.exp(uniform(-0.2, 0.2))
    tilted = (uniform(0, 1) < 0.6).float()
    angle = torch.randn(count, generator=generator) * 0.26 * tilted
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    wide, high = zoom * stretch, zoom / stretch
    room_x, room_y = (1 - wide).clamp(min=0.04), (1 - high).clamp(min=0.04)
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack(
        [
            torch.stack([wide * cos * mirror, -high * sin, uniform(-1, 1) * room_x], 1),
            torch.stack([wide * sin * mirror, high * cos, uniform(-1, 1) * room_y], 1),
        ],
        1,
    )


def take(pixels: Tensor, frames: Tensor, size: int) -> Tensor:
    """The photos [n, s, s, 3] uint8 as seen from `frames`, float RGB 0..255 [n, 3, size, size]."""
    source = pixels.permute(0, 3, 1, 2).float()
    grid = F.affine_grid(frames, list(source.shape), align_corners=False)
    seen = F.grid_sample(source, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    if size != seen.shape[-1]:
        seen = F.interpolate(seen, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return seen


def relight(x: Tensor) -> Tensor:
    """Other light, another camera: exposure, contrast, colours, now and then gray or blurred."""
    count = x.shape[0]

    def factor(spread: float, channels: int = 1) -> Tensor:
        return torch.exp((torch.rand(count, channels, 1, 1) * 2 - 1) * spread)

    gray = (x * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    colour = factor(0.5) * (torch.rand(count, 1, 1, 1) > 0.08)
    x = gray + (x - gray) * colour
    middle = x.mean((1, 2, 3), keepdim=True)
    x = middle + (x - middle) * factor(0.4)
    x = x * factor(0.35) * factor(0.1, 3)
    blurred = torch.rand(count) < 0.1
    if bool(blurred.any()):
        size = x.shape[-1]
        small = F.interpolate(x[blurred], scale_factor=0.5, mode="bilinear", antialias=True)
        x[blurred] = F.interpolate(small, size=(size, size), mode="bilinear")
    return x.clamp(0, 255)


def hide_part(x: Tensor, chance: float = 0.3) -> Tensor:
    """Something lies on the garment: a gray rectangle of up to a sixth of the frame."""
    size = x.shape[-1]
    for index in torch.nonzero(torch.rand(x.shape[0]) < chance).flatten().tolist():
        area = float(torch.empty(1).uniform_(0.03, 0.16)) * size * size
        ratio = math.exp(float(torch.empty(1).uniform_(-0.7, 0.7)))
        high = min(size - 1, max(1, int(math.sqrt(area * ratio))))
        wide = min(size - 1, max(1, int(math.sqrt(area / ratio))))
        top = int(torch.randint(0, size - high, (1,)))
        left = int(torch.randint(0, size - wide, (1,)))
        x[index, :, top : top + high, left : left + wide] = float(torch.empty(1).uniform_(40, 200))
    return x


def mix(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Blend (mixup) or patch (cutmix) each photo with another.

    Returns the pictures, the number of each one's partner [n], and its own share in the blend [n].
    """
    count, size = x.shape[0], x.shape[-1]
    partner = torch.randperm(count)
    share = torch.ones(count)
    draw = float(torch.rand(1))
    if draw < 0.15:
        share = torch.distributions.Beta(0.4, 0.4).sample((count,))
        weight = share.view(-1, 1, 1, 1)
        x = x * weight + x[partner] * (1 - weight)
    elif draw < 0.45:
        part = float(torch.empty(1).uniform_(0.1, 0.5))
        edge = max(1, int(size * math.sqrt(part)))
        top, left = (int(torch.randint(0, size - edge + 1, (1,))) for _ in range(2))
        x = x.clone()
        x[:, :, top : top + edge, left : left + edge] = x[partner][:, :, top : top + edge, left : left + edge]
        share = torch.full((count,), 1 - edge * edge / (size * size))
    return x, partner, share
