"""From a photo's bytes to a picture at a small scale: with one decoder for each format, in bounded memory."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

from PIL import Image

from laundry_reading import rows
from laundry_reading.errors import PhotoError, TruncatedPhoto, cut_off, damaged
from laundry_reading.formats import format_of
from laundry_reading.heif_picture import HeifPicture, decode_heif, read_heif
from laundry_reading.jpeg import is_whole, only_first_scan, read_jpeg
from laundry_reading.lean import MOST_PIXELS, Lean, check_pixels
from laundry_reading.png import read_png
from laundry_reading.webp import read_webp

# Its limit is one for all kinds; here it is checked for each before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

WHOLE_PIXELS = {"PNG": 30_000_000, "WEBP": 12_000_000}
"""Up to here Pillow decodes a picture whole, four bytes a pixel; a PNG it holds once, a WebP four times."""

_READERS = {"JPEG": read_jpeg, "PNG": read_png, "WEBP": read_webp}


@dataclass(frozen=True)
class Photo:
    """A photo whose structure was read; ``heif`` for HEIC and AVIF."""

    lean: Lean
    heif: HeifPicture | None = None


def read_photo(data: bytes, *, max_pixels: int = MOST_PIXELS) -> Photo:
    """Read a photo's structure.

    Raises:
        PhotoError: one of its subclasses, by what is wrong.
    """
    kind = format_of(data)
    try:
        photo = Photo(*read_heif(data)) if kind == "HEIF" else Photo(_READERS[kind](data))
    except (IndexError, KeyError, ValueError, struct.error) as error:
        # Some damaged files fail in ways nobody foresaw.
        raise damaged() from error
    check_pixels(photo.lean.format, photo.lean.width, photo.lean.height, max_pixels)
    return photo


def decode(photo: Photo, least: int) -> Image.Image:
    """Decode a photo, not turned, in any mode of Pillow's.

    Args:
        least: where its shorter side is larger, what is returned is smaller than the photo but not smaller
            than this.

    Raises:
        PhotoError: it cannot be decoded.
    """
    try:
        return _decode(photo, least)
    except (MemoryError, PhotoError):
        raise
    except Exception as error:  # what a decoder raises on damaged bytes is not a closed list
        raise (damaged() if photo.lean.ends else cut_off()) from error


def _decode(photo: Photo, least: int) -> Image.Image:
    lean = photo.lean
    if photo.heif is not None:
        return decode_heif(photo.heif, least)
    if lean.format == "JPEG":
        return _decode_jpeg(lean, least)
    if lean.pixels > WHOLE_PIXELS[lean.format] and (lean.by_rows or lean.format == "WEBP"):
        factor = max(1, min(lean.width, lean.height) // least)
        return rows.shrink(lean.data, -(-lean.width // factor), -(-lean.height // factor))
    return _decode_whole(lean.data, lean.format)


def _decode_jpeg(lean: Lean, least: int) -> Image.Image:
    if not is_whole(lean):
        raise cut_off()
    try:
        return _decode_whole(lean.data, "JPEG", draft=least)
    except (MemoryError, TruncatedPhoto):
        raise
    except Exception:
        if lean.by_rows:
            raise
        # As browsers do: what a broken later scan would have added is not shown.
        return _decode_whole(only_first_scan(lean), "JPEG", draft=least)


def _decode_whole(data: bytes, kind: str, *, draft: int | None = None) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=(kind,))
    if draft is not None:
        image.draft("RGB", (draft, draft))
    image.load()
    return image
