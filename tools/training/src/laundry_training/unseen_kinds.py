"""Kinds of drawings without a garment that are never trained on: they judge how surprises are handled.

A layer that had seen them would know them by heart; what a person sends tomorrow it has not seen either.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from laundry_training.no_garment import SIDE, Kinds, Random, colour, gradient, picture_of

SKINS = ((255, 224, 189), (241, 194, 125), (198, 134, 66), (141, 85, 36))


def _person(random: Random) -> Image.Image:
    """Somebody who looks at the viewer, dressed in plain colours."""
    ground = colour(random) if random.random() < 0.7 else (240, 240, 235)
    picture = Image.new("RGB", (SIDE, SIDE), ground)
    pen = ImageDraw.Draw(picture)
    skin, x = SKINS[int(random.integers(0, len(SKINS)))], SIDE / 2 + random.uniform(-15, 15)
    pen.rounded_rectangle((x - 28, 72, x + 28, 122), 8, fill=colour(random))
    pen.rectangle((x - 24, 120, x - 4, 158), fill=colour(random))
    pen.rectangle((x + 4, 120, x + 24, 158), fill=colour(random))
    for side in (-40, 28):
        pen.rectangle((x + side, 76, x + side + 12, 118), fill=skin)
    pen.ellipse((x - 22, 26, x + 22, 74), fill=skin)
    pen.chord((x - 23, 22, x + 23, 66), 180, 360, fill=colour(random))
    for side in (-11, 6):
        pen.ellipse((x + side, 46, x + side + 5, 51), fill=(20, 20, 20))
    pen.arc((x - 10, 50, x + 10, 66), 20, 160, fill=(120, 20, 20), width=2)
    return picture


def _face(random: Random) -> Image.Image:
    picture = Image.new("RGB", (SIDE, SIDE), colour(random))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((20, 15, 140, 150), fill=colour(random))
    for x in (55, 100):
        pen.ellipse((x - 10, 55, x + 10, 75), fill=(255, 255, 255))
        pen.ellipse((x - 4, 60, x + 4, 70), fill=(0, 0, 0))
    pen.arc((50, 80, 110, 125), 10, 170, fill=(90, 0, 0), width=5)
    return picture


def _cat(random: Random) -> Image.Image:
    picture = Image.new("RGB", (SIDE, SIDE), colour(random))
    pen = ImageDraw.Draw(picture)
    fur, x = colour(random), 80 + int(random.integers(-15, 15))
    pen.ellipse((x - 45, 85, x + 45, 170), fill=fur)
    for side in (-1, 1):
        pen.polygon([(x + side * 38, 52), (x + side * 36, 8), (x + side * 6, 34)], fill=fur)
    pen.ellipse((x - 42, 26, x + 42, 98), fill=fur)
    for side in (-1, 1):
        pen.ellipse((x + side * 18 - 7, 50, x + side * 18 + 7, 64), fill=(190, 220, 80))
        pen.ellipse((x + side * 18 - 2, 50, x + side * 18 + 2, 64), fill=(10, 10, 10))
        for slope in (-6, 0, 6):
            pen.line((x + side * 10, 78, x + side * 55, 78 + slope), fill=(240, 240, 240), width=1)
    pen.polygon([(x - 5, 70), (x + 5, 70), (x, 77)], fill=(200, 90, 100))
    return picture


def _cup(random: Random) -> Image.Image:
    picture = gradient(random)
    pen = ImageDraw.Draw(picture)
    paint, left = colour(random), int(random.integers(30, 50))
    pen.rectangle((0, 118, SIDE, SIDE), fill=colour(random))
    pen.arc((left + 50, 65, left + 95, 110), -90, 90, fill=paint, width=9)
    pen.polygon([(left, 50), (left + 72, 50), (left + 62, 130), (left + 10, 130)], fill=paint)
    pen.ellipse((left, 42, left + 72, 58), fill=(70, 42, 25), outline=paint, width=3)
    return picture


def _flower(random: Random) -> Image.Image:
    picture = Image.new("RGB", (SIDE, SIDE), colour(random))
    pen = ImageDraw.Draw(picture)
    petal, petals, x = colour(random), int(random.integers(5, 9)), 80 + int(random.integers(-20, 20))
    pen.line((x, 60, x - 5, SIDE), fill=(50, 130, 50), width=6)
    pen.ellipse((x - 40, 115, x - 4, 132), fill=(60, 150, 60))
    for angle in np.linspace(0, 2 * np.pi, petals, endpoint=False):
        right, below = x + 28 * np.cos(angle), 60 + 28 * np.sin(angle)
        pen.ellipse((right - 18, below - 18, right + 18, below + 18), fill=petal)
    pen.ellipse((x - 14, 46, x + 14, 74), fill=(240, 200, 60))
    return picture


def _code(random: Random) -> Image.Image:
    """Black and white squares like those of a QR code, askew."""
    edge = int(random.integers(15, 30))
    squares = np.repeat((random.random((edge, edge, 1)) > 0.5) * 255.0, 3, axis=2)
    larger = picture_of(squares).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    return larger.rotate(random.uniform(-15, 15), fillcolor=colour(random))


def _house(random: Random) -> Image.Image:
    picture = Image.new("RGB", (SIDE, SIDE), (135, 190, 230))
    pen = ImageDraw.Draw(picture)
    x, roof = int(random.integers(15, 70)), int(random.integers(15, 45))
    pen.rectangle((0, 110, SIDE, SIDE), fill=(70, 140, 60))
    pen.rectangle((x, 60, x + 70, 125), fill=colour(random))
    pen.polygon([(x - 8, 60), (x + 35, roof), (x + 78, 60)], fill=colour(random))
    pen.rectangle((x + 28, 90, x + 44, 125), fill=colour(random))
    pen.ellipse((120, 10, 145, 35), fill=(255, 220, 60))
    return picture


def _car(random: Random) -> Image.Image:
    picture = gradient(random)
    pen = ImageDraw.Draw(picture)
    paint = colour(random)
    pen.rounded_rectangle((15, 75, 145, 115), 10, fill=paint)
    pen.polygon([(40, 76), (58, 50), (108, 50), (125, 76)], fill=paint)
    for x in (45, 115):
        pen.ellipse((x - 16, 100, x + 16, 132), fill=(20, 20, 20))
        pen.ellipse((x - 7, 109, x + 7, 123), fill=(150, 150, 150))
    return picture


def _fractal(random: Random) -> Image.Image:
    """A piece of the Mandelbrot set."""
    x, y, reach = random.uniform(-1.3, 0.3), random.uniform(-0.8, 0.8), random.uniform(0.05, 1.2)
    right, below = np.meshgrid(np.linspace(-reach, reach, SIDE), np.linspace(-reach, reach, SIDE))
    start = x + right + 1j * (y + below)
    value, steps = np.zeros_like(start), np.zeros(start.shape, dtype=int)
    for _ in range(40):
        inside = np.abs(value) < 4
        value = np.where(inside, value * value + start, value)
        steps += np.abs(value) < 4
    return picture_of(random.integers(0, 256, (41, 3)).astype(float)[steps])


def _plain(random: Random) -> Image.Image:
    """One colour with grain: the pocket, the table, the thumb before the lens."""
    grain = random.normal(0, random.uniform(0, 10), (SIDE, SIDE, 3))
    return picture_of(np.array(colour(random)) + grain)


UNSEEN: Kinds = {
    "a drawn person": _person,
    "a drawn face": _face,
    "a drawn cat": _cat,
    "a drawn cup": _cup,
    "a drawn flower": _flower,
    "a code of squares": _code,
    "a drawn house": _house,
    "a drawn car": _car,
    "a fractal": _fractal,
    "one plain colour": _plain,
}
