"""Pictures of several garments, put together from photos of one: there is no data set of laundry piles.

Beside them pictures of one garment with the same seams and soft edges: the seam is not what is to be learnt.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Layout = Literal["tiles", "tiles and bare ground", "laid out", "laid out alone"]
SINGLE: frozenset[Layout] = frozenset({"tiles and bare ground", "laid out alone"})
"""Layouts that show one garment only."""

CANVAS = 240
SPOTS = {
    1: ((0.5, 0.5),),
    2: ((0.28, 0.5), (0.72, 0.5)),
    3: ((0.28, 0.28), (0.72, 0.3), (0.5, 0.74)),
    4: ((0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73)),
}
SHARE = {2: 0.52, 3: 0.5, 4: 0.46}


@dataclass(frozen=True)
class Composed:
    """Pictures [n, size, size, 3], and how many garments of which class number are on each."""

    pixels: npt.NDArray[np.uint8]
    targets: list[Counter[int]]


def compose(
    pixels: npt.NDArray[np.uint8],
    targets: npt.NDArray[np.int64],
    *,
    layout: Layout,
    garments: Sequence[int],
    number: int,
    size: int,
    seed: int,
) -> Composed:
    """Put ``number`` pictures together.

    Args:
        pixels: photos of one garment each, [m, s, s, 3]; ``targets``: their class numbers [m].
        garments: how many may be on a picture, drawn evenly (1 to 4); layouts of one garment take the first.
        size: edge of the pictures, pixels.
        seed: the same seed gives the same pictures.
    """
    random = np.random.default_rng(seed)
    pictures, shown = [], []
    for _ in range(number):
        count = 1 if layout in SINGLE else int(random.choice(garments))
        chosen = random.choice(len(pixels), count, replace=False)
        parts = [_framed(Image.fromarray(pixels[index]), random) for index in chosen]
        if layout == "tiles":
            canvas = _tiles(parts, random)
        elif layout == "tiles and bare ground":
            strangers = random.choice(len(pixels), int(random.choice([1, 1, 2, 3])))
            canvas = _tiles(
                [*parts, *(_ground(Image.fromarray(pixels[index]), random) for index in strangers)], random
            )
        else:
            ground = _ground(Image.fromarray(pixels[random.choice(chosen)]), random)
            canvas = _laid_out(parts, ground, random)
        pictures.append(np.asarray(canvas.resize((size, size), Image.Resampling.BILINEAR)))
        shown.append(Counter(int(targets[index]) for index in chosen))
    return Composed(np.stack(pictures), shown)


def bare_ground(pixels: npt.NDArray[np.uint8], *, number: int, size: int, seed: int) -> npt.NDArray[np.uint8]:
    """Corners of photos [m, s, s, 3], enlarged to pictures [number, size, size, 3]: they show no garment."""
    random = np.random.default_rng(seed)
    chosen = random.choice(len(pixels), number)
    corners = [_ground(Image.fromarray(pixels[index]), random) for index in chosen]
    return np.stack([np.asarray(each.resize((size, size), Image.Resampling.BILINEAR)) for each in corners])


def _framed(photo: Image.Image, random: np.random.Generator) -> Image.Image:
    share = random.uniform(0.75, 1)
    width, height = int(photo.width * share), int(photo.height * share)
    left = int(random.integers(0, photo.width - width + 1))
    top = int(random.integers(0, photo.height - height + 1))
    framed = photo.crop((left, top, left + width, top + height))
    return framed.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else framed


def _ground(photo: Image.Image, random: np.random.Generator) -> Image.Image:
    """A corner of a photo, enlarged: floor, bed or wall."""
    edge = int(photo.width * random.uniform(0.12, 0.25))
    left = int(random.choice([0, photo.width - edge]))
    top = int(random.choice([0, photo.height - edge]))
    corner = photo.crop((left, top, left + edge, top + edge))
    enlarged = corner.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)
    return enlarged.filter(ImageFilter.GaussianBlur(random.uniform(0, 3)))


def _tiles(parts: Sequence[Image.Image], random: np.random.Generator) -> Image.Image:
    """Side by side, one above the other, or in a square."""
    if len(parts) == 2 or (len(parts) == 3 and random.random() < 0.4):
        steps = np.concatenate([[0], np.cumsum(random.uniform(0.7, 1.3, len(parts)))])
        cuts = (steps / steps[-1] * CANVAS).astype(int).tolist()
        beside = random.random() < 0.5
        pairs = list(itertools.pairwise(cuts))
        boxes = [(a, 0, b, CANVAS) if beside else (0, a, CANVAS, b) for a, b in pairs]
    else:
        x, y = (int(CANVAS * random.uniform(0.4, 0.6)) for _ in range(2))
        above = [(0, 0, CANVAS, y)] if len(parts) == 3 else [(0, 0, x, y), (x, 0, CANVAS, y)]
        boxes = [*above, (0, y, x, CANVAS), (x, y, CANVAS, CANVAS)]
    canvas = Image.new("RGB", (CANVAS, CANVAS))
    for place, part in zip(random.permutation(len(parts)), parts, strict=True):
        left, top, right, bottom = boxes[place]
        canvas.paste(part.resize((right - left, bottom - top), Image.Resampling.BICUBIC), (left, top))
    return canvas


def _laid_out(parts: Sequence[Image.Image], ground: Image.Image, random: np.random.Generator) -> Image.Image:
    """Garments with soft edges on one ground, a little askew."""
    share = SHARE.get(len(parts)) or random.uniform(0.5, 0.95)
    turned = random.random() < 0.5
    for part, spot in zip(parts, SPOTS[len(parts)], strict=True):
        x, y = reversed(spot) if turned else spot
        edge = int(CANVAS * share * random.uniform(0.85, 1.15))
        mask = Image.new("L", (edge, edge), 0)
        rim = edge * 0.08
        box = (rim, rim, edge - rim, edge - rim)
        if random.random() < 0.5:
            ImageDraw.Draw(mask).ellipse(box, fill=255)
        else:
            ImageDraw.Draw(mask).rounded_rectangle(box, radius=edge * 0.2, fill=255)
        left, top = (int(c * CANVAS + random.normal(0, 8) - edge / 2) for c in (x, y))
        soft = mask.filter(ImageFilter.GaussianBlur(edge * 0.05))
        ground.paste(part.resize((edge, edge), Image.Resampling.BICUBIC), (left, top), soft)
    return ground
