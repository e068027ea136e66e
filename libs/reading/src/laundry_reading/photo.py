"""What a photo is, told from its first and last bytes: format, size, wholeness. Nothing is decoded here."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import ClassVar

from PIL import Image, UnidentifiedImageError

# Pillow warns at a limit of its own, higher than ours: ours is checked as soon as the header is read.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

MAX_BYTES = 15_000_000
"""Largest photo taken, bytes."""

MAX_PIXELS = 50_000_000
"""Largest photo taken, width x height."""

MAX_WEBP_PIXELS = 25_000_000
"""Largest WebP taken: its decoder holds the picture four times over and has no smaller scale."""


class PhotoError(Exception):
    """A photo that cannot be taken. `code` is stable for machines, `str()` is for people."""

    code: ClassVar[str] = "unreadable"


class EmptyPhoto(PhotoError):
    """There are no bytes."""

    code = "empty"


class NotAnImage(PhotoError):
    """The bytes are no image that anybody knows."""

    code = "not_an_image"


class UnsupportedFormat(PhotoError):
    """An image, but not JPEG, PNG or WebP."""

    code = "unsupported_format"


class TruncatedPhoto(PhotoError):
    """The image ends too early, or is damaged inside."""

    code = "truncated"


class TooManyBytes(PhotoError):
    """More bytes than the limit."""

    code = "too_many_bytes"


class TooManyPixels(PhotoError):
    """More pixels than the limit, whatever the file weighs."""

    code = "too_many_pixels"


class MislabelledPhoto(PhotoError):
    """The declared media type is not what the bytes are."""

    code = "mislabelled"


@dataclass(frozen=True)
class PhotoInfo:
    """What the header says: media type, width and height as stored (before EXIF rotation), file extension."""

    media_type: str
    width: int
    height: int
    extension: str


_FORMATS = {
    "JPEG": ("image/jpeg", "jpg"),
    "MPO": ("image/jpeg", "jpg"),  # what Pillow calls a JPEG with a preview or depth map behind it
    "PNG": ("image/png", "png"),
    "WEBP": ("image/webp", "webp"),
}
_SYNONYMS = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
_UNDECLARED = {"", "application/octet-stream", "binary/octet-stream"}


def inspect_photo(
    data: bytes,
    *,
    declared_media_type: str | None = None,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> PhotoInfo:
    """Check a photo by its header and its end, in about a millisecond and without decoding it.

    Args:
        data: the whole file.
        declared_media_type: what the sender called it; None or `application/octet-stream` is undeclared.
        max_bytes: largest file, bytes.
        max_pixels: largest width x height.

    Raises:
        PhotoError: one of its subclasses, by what is wrong.
    """
    if not data:
        raise EmptyPhoto("The photo is empty: no bytes arrived.")
    if len(data) > max_bytes:
        raise TooManyBytes(f"The photo has {len(data):,} bytes; at most {max_bytes:,} are taken.")
    with open_image(data, max_pixels=max_pixels) as image:
        media_type, extension = _FORMATS[str(image.format)]
        info = PhotoInfo(media_type, image.width, image.height, extension)
    declared = (declared_media_type or "").split(";")[0].strip().lower()
    if declared not in _UNDECLARED and _SYNONYMS.get(declared, declared) != media_type:
        raise MislabelledPhoto(f"The photo was declared as {declared!r} but is {media_type}.")
    if not _reaches_its_end(data, media_type):
        raise TruncatedPhoto("The photo is cut off: its end is missing. Send it again.")
    return info


def open_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open by header only, refusing unknown formats and sizes over the limit before a pixel is decoded.

    Raises:
        PhotoError: `NotAnImage`, `UnsupportedFormat`, `TruncatedPhoto` or `TooManyPixels`.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP"))
    except Image.DecompressionBombError as error:
        raise TooManyPixels(f"The photo has too many pixels; at most {max_pixels:,} are taken.") from error
    except UnidentifiedImageError as error:
        raise _unopened(data) from error
    except MemoryError:
        raise
    except Exception as error:  # what a parser raises on damaged bytes is not a closed list
        raise TruncatedPhoto("The photo is cut off or damaged in its header. Send it again.") from error
    pixels = image.width * image.height
    most = min(max_pixels, MAX_WEBP_PIXELS) if image.format == "WEBP" else max_pixels
    if pixels > most:
        image.close()
        raise TooManyPixels(
            f"The {image.format} photo has {image.width} x {image.height} = {pixels:,} pixels; "
            f"at most {most:,} are taken."
        )
    return image


_HEIF_BRANDS = (
    *(b"heic", b"heix", b"heim", b"heis"),  # pictures: HEVC; deeper, multi-view, scalable
    *(b"hevc", b"hevx", b"hevm", b"hevs"),  # sequences of them
    *(b"mif1", b"mif2", b"msf1"),  # of any codec
    *(b"avif", b"avis"),
)
_OTHER_IMAGES = (
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"\x00\x00\x01\x00",
    b"\xff\x0a",
    b"8BPS",
    b"\x00\x00\x00\x0cjP  ",
)


def _unopened(data: bytes) -> PhotoError:
    head = data[:32]
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or (
        head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    ):
        return TruncatedPhoto("The photo is cut off or damaged in its header. Send it again.")
    if (head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS) or head.startswith(_OTHER_IMAGES):
        return UnsupportedFormat("The photo is in a format that is not taken. Send JPEG, PNG or WebP.")
    return NotAnImage("The file is not an image. Send a photo as JPEG, PNG or WebP.")


def _reaches_its_end(data: bytes, media_type: str) -> bool:
    if media_type == "image/png":
        return data.rfind(b"IEND") > 0
    if media_type == "image/webp":
        # RIFF counts what follows its own eight-byte header.
        return len(data) >= int.from_bytes(data[4:8], "little") + 8
    return _jpeg_reaches_its_end(data)


def _jpeg_reaches_its_end(data: bytes) -> bool:
    # Phones append padding, previews and motion clips, so the end-of-image marker need not be last; but it
    # must follow the main image's scan, and an EXIF thumbnail ahead of the scan carries one of its own.
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return False
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker == 0xDA:
            # From behind: most end there, and nothing else is read of half a megabyte.
            return data.rfind(b"\xff\xd9", position) > 0
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:
            position += 2
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return False
