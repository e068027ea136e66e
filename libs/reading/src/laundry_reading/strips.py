"""Pictures that must be converted before they can be averaged: transparent, by palette, of sixteen bits.

A converted copy of the whole costs hundreds of megabytes at the largest size, so they are converted and made
smaller strip by strip.
"""

from __future__ import annotations

from PIL import Image

_STRIP_PIXELS = 1_000_000


def small_rgba(image: Image.Image, factor: int) -> Image.Image:
    """Convert a picture of any mode, made smaller by a whole factor."""
    small = Image.new("RGBA", (-(-image.width // factor), -(-image.height // factor)))
    rows = factor * max(1, _STRIP_PIXELS // (image.width * factor))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        strip.info = image.info  # a crop may lose which colour is transparent
        converted = _rgba(strip)
        small.paste(converted.reduce(factor) if factor > 1 else converted, (0, top // factor))
    return small


def _rgba(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow clips 16-bit gray to white when it converts; bring it down to eight bits by its high byte.
        image = image.convert("F").point(lambda shade: shade * (1 / 257) + 0.5).convert("L")
    return image.convert("RGBA")
