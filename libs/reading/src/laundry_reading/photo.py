"""What a photo is, judged by its bytes alone, not by name, sender or metadata.

``inspect_photo`` looks at the structure, ``inspect_at_once`` only where that is soon done. ``check_photo``
says in advance what a reading will say: the upload asks it, so that no photo is taken that cannot be read.
"""

from __future__ import annotations

from dataclasses import dataclass

from laundry_reading.decoding import Photo, decode, read_photo
from laundry_reading.errors import (
    DamagedPhoto,
    EmptyPhoto,
    NotAnImage,
    PhotoError,
    TooManyBytes,
    TooManyPixels,
    TruncatedPhoto,
    UnsupportedEncoding,
    UnsupportedFormat,
)
from laundry_reading.formats import format_of
from laundry_reading.jpeg import try_first_row
from laundry_reading.lean import MOST_PIXELS

MAX_BYTES = 30_000_000
"""Largest photo taken, bytes: 108 megapixels of a phone fit."""

MAX_PIXELS = MOST_PIXELS
"""Largest photo taken, width x height: the 200 megapixels of a phone fit. Some kinds have lower limits."""

LEAST = 432
"""Shorter side, pixels, of what a reader decodes when it looks closer: four times what its model sees. A
check that decodes to less would take what has no room in a reader.
"""

_NAMES = {
    "JPEG": ("image/jpeg", "jpg"),
    "PNG": ("image/png", "png"),
    "WEBP": ("image/webp", "webp"),
    "HEIC": ("image/heic", "heic"),
    "AVIF": ("image/avif", "avif"),
}


@dataclass(frozen=True)
class PhotoInfo:
    """What the bytes say.

    Attributes:
        width, height: as stored, before it is turned.
        extension: of a file of this type.
        sure: its structure tells that it can be read; of what is not sure only decoding tells.
    """

    media_type: str
    width: int
    height: int
    extension: str
    sure: bool = True


def inspect_photo(data: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> PhotoInfo:
    """Check a photo by its structure, in about a millisecond.

    Of most JPEGs that is all there is to check: what is missing inside a scan is merely gray. What is not
    ``sure`` can still turn out not to decode (``check_photo``).

    Args:
        data: the whole file.
        max_bytes: largest file, bytes.
        max_pixels: largest width x height.

    Raises:
        PhotoError: one of its subclasses, by what is wrong.
    """
    return _info(_read(data, max_bytes, max_pixels))


def inspect_at_once(
    data: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS
) -> PhotoInfo | None:
    """Check a JPEG as ``inspect_photo`` does; of other formats only whether they are taken.

    For a place that must not stand still: whatever the bytes are, a megabyte takes some milliseconds.

    Returns:
        None of other formats: only decoding shows whether they are sound.

    Raises:
        PhotoError: one of its subclasses, by what is wrong.
    """
    _check_bytes(data, max_bytes)
    if format_of(data) != "JPEG":
        return None
    return inspect_photo(data, max_bytes=max_bytes, max_pixels=max_pixels)


def check_photo(data: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> PhotoInfo:
    """Check that a photo can be read: what is not sure is decoded for it, in bounded memory.

    Raises:
        PhotoError: one of its subclasses, by what is wrong.
    """
    photo = _read(data, max_bytes, max_pixels)
    info = _info(photo)
    if not info.sure:
        decode(photo, LEAST)
    return info


def _check_bytes(data: bytes, max_bytes: int) -> None:
    if not data:
        raise EmptyPhoto("The photo is empty: no bytes arrived. Choose it again.")
    if len(data) > max_bytes:
        raise TooManyBytes(
            f"The photo has {len(data):,} bytes; at most {max_bytes:,} are taken. Take it at a lower "
            "resolution.",
            max_bytes=max_bytes,
        )


def _read(data: bytes, max_bytes: int, max_pixels: int) -> Photo:
    _check_bytes(data, max_bytes)
    photo = read_photo(data, max_pixels=max_pixels)
    if photo.lean.format == "JPEG":
        try_first_row(photo.lean)
    return photo


def _info(photo: Photo) -> PhotoInfo:
    media_type, extension = _NAMES[photo.lean.format]
    sure = photo.lean.format == "JPEG" and photo.lean.ends
    return PhotoInfo(media_type, photo.lean.width, photo.lean.height, extension, sure)


__all__ = [
    "LEAST",
    "MAX_BYTES",
    "MAX_PIXELS",
    "DamagedPhoto",
    "EmptyPhoto",
    "NotAnImage",
    "PhotoError",
    "PhotoInfo",
    "TooManyBytes",
    "TooManyPixels",
    "TruncatedPhoto",
    "UnsupportedEncoding",
    "UnsupportedFormat",
    "check_photo",
    "inspect_at_once",
    "inspect_photo",
]
