"""Drawn pictures that show no garment: what the layer for the classes learns to send to a person.

There are few photos of other things, and none of what people send by mistake: a page, a screen, a drawing, a
wall. Pictures made at random stand for them (outlier exposure, Hendrycks et al. 2019). How well it goes is
told by kinds that are never learnt from, in ``laundry_training.unseen_kinds``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

SIDE = 160
"""Edge of what is drawn, pixels."""

FLAWED = 0.3
"""Share of pictures with a camera's dark rim and grain."""

Random = np.random.Generator
Colour = tuple[int, int, int]
Kinds = Mapping[str, Callable[[Random], Image.Image]]


def draw(kinds: Kinds, number: int, size: int, seed: int) -> npt.NDArray[np.uint8]:
    """Draw pictures [number, size, size, 3], of each kind in turn.

    Args:
        seed: the same seed gives the same pictures.
    """
    random = np.random.default_rng(seed)
    makers = list(kinds.values())
    pictures = []
    for index in range(number):
        picture = makers[index % len(makers)](random)
        if random.random() < FLAWED:
            picture = _flawed(picture, random)
        pictures.append(np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR)))
    return np.stack(pictures)


def colour(random: Random) -> Colour:
    """Draw a random colour."""
    red, green, blue = (int(part) for part in random.integers(0, 256, 3))
    return red, green, blue


def gradient(random: Random) -> Image.Image:
    """One colour that turns into another: a wall, a sky, a lamp."""
    start, end = np.array(colour(random)), np.array(colour(random))
    along = np.linspace(0, 1, SIDE)
    across, down = np.meshgrid(along, along)
    way = random.choice([across, down, np.hypot(across - 0.5, down - 0.5)])
    return picture_of(start + (end - start) * way[..., None])


def picture_of(values: npt.NDArray[np.floating]) -> Image.Image:
    """The picture of values [s, s, 3], those beyond 0..255 cut off."""
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def _noise(random: Random) -> Image.Image:
    edge = int(random.choice([4, 8, 16, 40, SIDE]))
    grains = Image.fromarray(random.integers(0, 256, (edge, edge, 3), dtype=np.uint8))
    return grains.resize((SIDE, SIDE), Image.Resampling.BICUBIC).filter(_blur(random, 2))


def _cloud(random: Random) -> Image.Image:
    """Noise with most of it in long waves, as in nature: stone, grass, sky."""
    steps = np.fft.fftfreq(SIDE)
    distance = np.hypot(*np.meshgrid(steps, steps))
    distance[0, 0] = 1
    fall, own = random.uniform(0.7, 2), random.uniform(0, 0.6)
    shared = random.normal(size=(SIDE, SIDE))
    channels = []
    for _ in range(3):
        white = shared + own * random.normal(size=(SIDE, SIDE))
        waves = np.fft.ifft2(np.fft.fft2(white) / distance**fall).real
        channels.append((waves - waves.min()) / (np.ptp(waves) + 1e-9) * random.uniform(60, 255))
    return picture_of(np.stack(channels, axis=-1))


def _stripes(random: Random) -> Image.Image:
    angle, often = random.uniform(0, np.pi), random.uniform(0.02, 0.4)
    across, down = np.meshgrid(np.arange(SIDE), np.arange(SIDE))

    def waves(right: float, below: float) -> npt.NDArray[np.floating]:
        return np.asarray(0.5 + 0.5 * np.sin(often * 2 * np.pi * (across * right + down * below)))

    way = waves(np.cos(angle), np.sin(angle))
    if random.random() < 0.5:
        way = (way > 0.5).astype(float)
    if random.random() < 0.4:
        way = way * waves(-np.sin(angle), np.cos(angle))
    start, end = np.array(colour(random)), np.array(colour(random))
    grain = random.normal(0, random.uniform(0, 12), (SIDE, SIDE, 1))
    return picture_of(start + (end - start) * way[..., None] + grain)


def _shapes(random: Random) -> Image.Image:
    picture = gradient(random)
    pen = ImageDraw.Draw(picture)
    for _ in range(int(random.integers(1, 15))):
        left, top = (int(edge) for edge in random.integers(-20, SIDE, 2))
        width, height = (int(edge) for edge in random.integers(5, 110, 2))
        box, fill = (left, top, left + width, top + height), colour(random)
        match int(random.integers(0, 4)):
            case 0:
                pen.rectangle(box, fill=fill)
            case 1:
                pen.ellipse(box, fill=fill, outline=colour(random))
            case 2:
                pen.polygon(_points(random, int(random.integers(3, 7))), fill=fill)
            case _:
                pen.line(_points(random, 4), fill=fill, width=int(random.integers(1, 9)))
    return picture.filter(_blur(random, 1.2))


def _page(random: Random) -> Image.Image:
    """Lines of words, askew."""
    paper = colour(random) if random.random() < 0.4 else (250, 250, 245)
    ink = colour(random) if random.random() < 0.4 else (20, 20, 20)
    picture = Image.new("RGB", (SIDE, SIDE), paper)
    pen = ImageDraw.Draw(picture)
    height = int(random.integers(7, 20))
    for top in range(int(random.integers(2, 20)), SIDE, height):
        left, end = int(random.integers(3, 25)), SIDE - int(random.integers(3, 60))
        while left < end:
            width = int(random.integers(3, 28))
            pen.rectangle((left, top, left + width, top + height // 2), fill=ink)
            left += width + int(random.integers(2, 8))
    return picture.rotate(random.uniform(-20, 20), fillcolor=colour(random))


def _things(random: Random) -> Image.Image:
    """One to three things of no certain shape, each of some stuff, on a plain ground."""
    picture = gradient(random)
    for _ in range(int(random.integers(1, 4))):
        mask = Image.new("L", (SIDE, SIDE), 0)
        corners = int(random.integers(5, 14))
        angles = np.sort(random.uniform(0, 2 * np.pi, corners))
        reach = random.uniform(15, 70) * random.uniform(0.4, 1.3, corners)
        x, y = random.uniform(30, SIDE - 30, 2)
        outline = zip(x + reach * np.cos(angles), y + reach * np.sin(angles), strict=True)
        ImageDraw.Draw(mask).polygon([(float(a), float(b)) for a, b in outline], fill=255)
        stuff = [_cloud, gradient, _stripes, _noise][int(random.integers(0, 4))](random)
        soft = mask.filter(ImageFilter.GaussianBlur(random.uniform(0.5, 6)))
        picture.paste(stuff, (0, 0), soft)
    return picture


def _figure(random: Random) -> Image.Image:
    """A head on a body with limbs, as a child or a machine might draw it."""
    picture = (_cloud if random.random() < 0.4 else gradient)(random)
    pen = ImageDraw.Draw(picture)
    middle, top, radius = random.uniform(50, 110), random.uniform(10, 50), random.uniform(8, 26)
    height, width, stroke = random.uniform(30, 70), random.uniform(8, 34), int(random.integers(2, 12))
    neck, hip, limbs = top + 2 * radius, top + 2 * radius + height, colour(random)
    for side in (-1, 1):
        hand = (middle + side * random.uniform(15, 50), neck + random.uniform(-20, 50))
        foot = (middle + side * random.uniform(4, 34), hip + random.uniform(15, 60))
        legs = colour(random) if random.random() < 0.4 else limbs
        pen.line([(middle, neck + 5), hand], fill=limbs, width=stroke)
        pen.line([(middle + side * width / 2, hip - 4), foot], fill=legs, width=stroke)
    body, fill = (middle - width, neck, middle + width, hip), colour(random)
    match int(random.integers(0, 3)):
        case 0:
            pen.ellipse(body, fill=fill)
        case 1:
            pen.rectangle(body, fill=fill)
        case _:
            pen.line([(middle, neck), (middle, hip)], fill=fill, width=stroke)
    skin = colour(random) if random.random() < 0.6 else (230, 190, 160)
    pen.ellipse((middle - radius, top, middle + radius, neck), fill=skin)
    if random.random() < 0.5:
        pen.pieslice((middle - radius, top - 2, middle + radius, neck - 2), 180, 360, fill=colour(random))
    for side in (-1, 1):
        eye = middle + side * radius * 0.4
        pen.ellipse((eye - 2, top + radius - 2, eye + 2, top + radius + 2), fill=(10, 10, 10))
    return picture.rotate(random.uniform(-25, 25), fillcolor=colour(random)).filter(_blur(random, 1.2))


LEARNT: Kinds = {
    "gradient": gradient,
    "noise": _noise,
    "cloud": _cloud,
    "shapes": _shapes,
    "page": _page,
    "stripes": _stripes,
    "things": _things,
    "figure": _figure,
}


def _points(random: Random, number: int) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in random.integers(0, SIDE, (number, 2))]


def _blur(random: Random, most: float) -> ImageFilter.GaussianBlur:
    return ImageFilter.GaussianBlur(random.uniform(0, most))


def _flawed(picture: Image.Image, random: Random) -> Image.Image:
    pixels = np.asarray(picture, dtype=float)
    along = np.linspace(-1, 1, SIDE)
    rim = 1 - random.uniform(0, 0.5) * np.hypot(*np.meshgrid(along, along)) ** 2 / 2
    return picture_of(pixels * rim[..., None] + random.normal(0, random.uniform(0, 6), pixels.shape))
