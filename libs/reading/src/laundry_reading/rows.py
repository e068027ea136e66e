"""Pictures too large to be held whole: libvips decodes them a few rows at a time, already made smaller."""

from __future__ import annotations

import os
from typing import Any

from PIL import Image


def _vips() -> Any:
    # On first use: most photos need none of it.
    os.environ.setdefault("VIPS_CONCURRENCY", "1")
    import pyvips  # noqa: PLC0415

    pyvips.cache_set_max(0)
    return pyvips


def shrink(data: bytes, width: int, height: int) -> Image.Image:
    """Decode a lean PNG or WebP to exactly this size, in eight bits a channel.

    Raises:
        Exception: it cannot be decoded to its end.
    """
    image = _vips().Image.thumbnail_buffer(
        data, width, height=height, size="force", no_rotate=True, fail_on="error"
    )
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[image.bands]
    return Image.frombytes(mode, (image.width, image.height), image.write_to_memory())


def decodes_without_complaint(jpeg: bytes) -> bool:
    """Whether a JPEG has all its scans' data; what is missing is a warning to its decoder."""
    vips = _vips()
    try:
        vips.Image.jpegload_buffer(jpeg, shrink=8, access="sequential", fail_on="warning").avg()
    except vips.Error:
        return False
    return True
