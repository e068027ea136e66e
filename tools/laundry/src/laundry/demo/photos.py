"""Sample pictures for the demo, drawn here: simple garments on a floor; nobody's photos are needed."""

import io
import math
import random
import secrets
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

SIZE = (1600, 1200)
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
JPEG_COMMENT = b"\xff\xfe"
UNIQUE_BYTES = 16

Point = tuple[float, float]
Outline = list[Point]


def _mirrored(half: Outline) -> Outline:
    """Complete a left outline (x from -1 to 0) with its mirror image."""
    return half + [(-x, y) for x, y in reversed(half)]


GARMENTS: dict[str, Outline] = {
    "t-shirt": _mirrored(
        [
            (0, -0.72),
            (-0.18, -0.8),
            (-0.45, -0.78),
            (-0.95, -0.4),
            (-0.75, -0.12),
            (-0.5, -0.3),
            (-0.48, 0.85),
        ]
    ),
    "longsleeve": _mirrored(
        [
            (0, -0.72),
            (-0.18, -0.8),
            (-0.42, -0.78),
            (-0.7, -0.3),
            (-0.98, 0.75),
            (-0.78, 0.8),
            (-0.46, -0.1),
            (-0.44, 0.85),
        ]
    ),
    "pants": _mirrored([(-0.42, -0.9), (-0.5, 0.95), (-0.16, 0.95), (0, -0.3)]),
    "shorts": _mirrored([(-0.5, -0.5), (-0.65, 0.45), (-0.12, 0.5), (0, 0.0)]),
    "dress": _mirrored(
        [(0, -0.75), (-0.2, -0.92), (-0.3, -0.9), (-0.34, -0.5), (-0.24, -0.1), (-0.62, 0.95)]
    ),
    "skirt": _mirrored([(-0.3, -0.6), (-0.7, 0.7)]),
}
FABRICS = [(52, 84, 130), (176, 58, 62), (58, 120, 88), (226, 222, 210), (40, 42, 50), (214, 168, 70)]
FLOORS = [(168, 150, 128), (196, 198, 202), (120, 104, 92), (214, 206, 190)]


def draw_garment(label: str, *, seed: int) -> bytes:
    """Draw one garment of ``GARMENTS`` as a JPEG of about 300 KB; equal seeds give equal bytes."""
    chance = random.Random(f"{label}-{seed}")  # noqa: S311 - pictures, not secrets
    photo = _floor(chance)
    fabric = chance.choice(FABRICS)
    points = _laid(GARMENTS[label], math.radians(chance.uniform(-14, 14)))
    photo.paste((0, 0, 0), mask=_shadow(points))
    pen = ImageDraw.Draw(photo)
    pen.polygon(points, fill=fabric)
    pen.line([*points, points[0]], fill=tuple(int(part * 0.7) for part in fabric), width=6, joint="curve")
    return _developed(photo, chance)


def _laid(outline: Outline, angle: float) -> Outline:
    """Lay an outline in the middle of the photo, turned by an angle in radians."""
    scale, cosine, sine = SIZE[1] * 0.42, math.cos(angle), math.sin(angle)
    return [
        (SIZE[0] / 2 + scale * (x * cosine + y * sine), SIZE[1] / 2 + scale * (y * cosine - x * sine))
        for x, y in outline
    ]


def _shadow(points: Outline) -> Image.Image:
    """Return how dark the shadow below is. It has no edges, so a quarter of the size does."""
    shadow = Image.new("L", (SIZE[0] // 4, SIZE[1] // 4))
    ImageDraw.Draw(shadow).polygon([((x + 14) / 4, (y + 18) / 4) for x, y in points], fill=int(255 * 0.45))
    return shadow.filter(ImageFilter.BoxBlur(6)).resize(SIZE, Image.Resampling.BILINEAR)


def _floor(chance: random.Random) -> Image.Image:
    colour = chance.choice(FLOORS)
    photo = Image.new("RGB", SIZE, colour)
    pen = ImageDraw.Draw(photo)
    for y in range(0, SIZE[1], 110):
        shade = chance.randint(-14, 14)
        pen.rectangle([0, y, SIZE[0], y + 106], fill=tuple(part + shade for part in colour))
    return photo


def _developed(photo: Image.Image, chance: random.Random) -> bytes:
    """Add the grain of a phone's sensor and store it as a phone would."""
    grain = Image.frombytes("L", SIZE, chance.randbytes(SIZE[0] * SIZE[1])).convert("RGB")
    photo = Image.blend(photo.filter(ImageFilter.BoxBlur(1.5)), grain, 0.05)
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=82)
    return buffer.getvalue()


def sample_photos(count: int, *, seed: int) -> list[tuple[str, bytes]]:
    """Return ``count`` drawn photos with their names."""
    labels = list(GARMENTS)
    chosen = [labels[number % len(labels)] for number in range(count)]
    return [
        (f"{label}-{number + 1}.jpg", draw_garment(label, seed=seed + number))
        for number, label in enumerate(chosen)
    ]


def photos_in(folder: Path, *, most: int) -> list[tuple[str, bytes]]:
    """Read up to ``most`` photos of a folder and those below it, spread evenly over what is there.

    Raises:
        FileNotFoundError: the folder is not there or holds no photo.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise FileNotFoundError(f"{folder} holds no photo ({', '.join(sorted(SUFFIXES))})")
    step = max(1, len(found) // most)
    return [(path.name, path.read_bytes()) for path in found[::step][:most]]


def unique(photo: bytes) -> bytes:
    """Return the same JPEG in bytes that nobody sent before."""
    mark = secrets.token_bytes(UNIQUE_BYTES)
    return photo[:2] + JPEG_COMMENT + (len(mark) + 2).to_bytes(2) + mark + photo[2:]
