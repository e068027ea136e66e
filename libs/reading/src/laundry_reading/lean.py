"""A photo stripped to its picture, so that broken or hostile metadata can do no harm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from laundry_reading.errors import TooManyPixels
from laundry_reading.exif import UPRIGHT

MOST_PIXELS = 210_000_000
"""Largest picture of any kind, width x height."""

MOST_LONG, MOST_TIMES = 8192, 12
"""How long a picture may be, pixels or times its shorter side: the longest panoramas of phones fit."""


def check_pixels(format_: str, width: int, height: int, most: int = MOST_PIXELS) -> None:
    """Refuse a picture that is too large before anything of it is decoded.

    Raises:
        TooManyPixels: width x height is over ``most``, or it is too long for how narrow it is. What is made
            smaller keeps its shape, and what a model needs on its shorter side: it would stay large.
    """
    if width * height > most:
        raise TooManyPixels(
            f"The {format_} photo has {width} x {height} = {width * height:,} pixels; at most {most:,} are "
            "taken. Choose a lower resolution in the camera.",
            width=width,
            height=height,
            max_pixels=most,
        )
    narrow = min(width, height)
    longest = max(MOST_LONG, MOST_TIMES * narrow)
    if max(width, height) > longest:
        raise TooManyPixels(
            f"The {format_} photo has {width} x {height} pixels; one so narrow may be {longest:,} pixels "
            "long. Choose a lower resolution in the camera, or send a part of it.",
            width=width,
            height=height,
            max_pixels=longest * narrow,
        )


def _no_profile() -> bytes | None:
    return None


@dataclass(frozen=True)
class Lean:
    """A photo's picture alone.

    Attributes:
        format: `JPEG`, `PNG`, `WEBP`, `HEIC` or `AVIF`.
        width, height: as stored, before it is turned.
        data: a file with nothing but the picture; for HEIC and AVIF see `laundry_reading.heif`.
        orientation: how to turn it, as EXIF counts, 1 to 8.
        by_rows: it can be decoded row by row, so that its size costs no memory.
        ends: its end mark is there, so that what is missing is not for a cut.
        profile: finds the ICC profile, if there is one.
    """

    format: str
    width: int
    height: int
    data: bytes
    orientation: int = UPRIGHT
    by_rows: bool = True
    ends: bool = True
    profile: Callable[[], bytes | None] = field(default=_no_profile, repr=False)

    @property
    def pixels(self) -> int:
        """How many pixels the picture has: width times height."""
        return self.width * self.height
