"""Pictures made for the tests: no photo of anybody is needed."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image


def scene(width: int, height: int) -> Image.Image:
    """A picture without symmetry: a colour ramp with a dark block in one corner and a light one beside it."""
    across = np.linspace(0, 1, width)[np.newaxis, :]
    down = np.linspace(0, 1, height)[:, np.newaxis]
    pixels = np.stack(
        [200 * across + 0 * down + 20, 200 * down + 0 * across + 20, 120 * (1 - across) * down + 60], axis=-1
    )
    pixels[: max(1, height // 3), : max(1, width // 4)] = (15, 25, 60)
    pixels[: max(1, height // 5), width // 2 : width // 2 + max(1, width // 4)] = (240, 230, 90)
    return Image.fromarray(pixels.round().astype(np.uint8))


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The picture as a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A few hundred bytes of PNG whose header promises any size."""
    return _png(width, height, depth=8, colour=2, rows=b"\0" * 1000)


def deep_png(shades: np.ndarray) -> bytes:
    """A PNG of sixteen bits a channel, which Pillow reads but does not write.

    Args:
        shades: uint16 [height, width, channels]; of gray, gray and alpha, RGB, or RGB and alpha.
    """
    height, width, channels = shades.shape
    rows = np.zeros((height, 1 + 2 * width * channels), dtype=np.uint8)  # each begins with its filter: none
    rows[:, 1:] = shades.astype(">u2").reshape(height, -1).view(np.uint8)
    return _png(width, height, depth=16, colour={1: 0, 2: 4, 3: 2, 4: 6}[channels], rows=rows.tobytes())


def _png(width: int, height: int, *, depth: int, colour: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def chunk(kind: bytes, body: bytes, *, crc: int | None = None) -> bytes:
    """A chunk of a PNG; with another checksum if one is given."""
    found = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", found)


def segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(body)) + body


def box(kind: bytes, body: bytes) -> bytes:
    """A box of an ISO file."""
    return struct.pack(">I", 8 + len(body)) + kind + body


def heic(image: Image.Image, *, orientation: int | None = None, **options: Any) -> bytes:
    """The picture as a HEIC, or with ``kind="AVIF"`` as one."""
    pillow_heif.register_heif_opener()
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif.tobytes()
    return encode(image, options.pop("kind", "HEIF"), **({"quality": 90} | options))


def deep_heic(image: Image.Image) -> bytes:
    """The picture as a HEIC of ten bits a channel."""
    deep = np.asarray(image.convert("RGB")).astype(np.uint16) * 257
    buffer = io.BytesIO()
    pillow_heif.from_bytes(mode="RGB;16", size=image.size, data=deep.tobytes()).save(buffer, quality=90)
    return buffer.getvalue()
