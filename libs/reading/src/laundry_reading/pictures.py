"""Pictures for showing: small JPEGs that every browser shows, with nothing in them but the picture.

No position, serial number, clip or thumbnail of the photo gets into them, as nothing of its file is copied
but its pixels (or, of a small JPEG, its tables and scan).
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageCms

from laundry_reading.decoding import Photo, decode, read_photo
from laundry_reading.errors import PhotoError
from laundry_reading.exif import TURNS, UPRIGHT, orientation_only
from laundry_reading.jpeg import without_tail
from laundry_reading.lean import Lean
from laundry_reading.strips import small_rgba

DISPLAY_PX = 1600
"""Longest side of the picture for a card."""

THUMBNAIL_PX = 320
"""Longest side of the picture for a list."""

READABLE_PX = 640
"""Longest side of the picture for a model that has to be sent to where it is: at least what a model looks at,
and under 256 KB even where it is nothing but noise.
"""

MEDIA_TYPE, EXTENSION = "image/jpeg", "jpg"

_AS_IT_IS_BYTES = 600_000
_LARGE_PIXELS = 12_000_000
_QUALITY = {DISPLAY_PX: 80, READABLE_PX: 80, THUMBNAIL_PX: 75}
_PLAIN = ("RGB", "L", "CMYK", "YCbCr")
_SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@dataclass(frozen=True)
class Made:
    """A JPEG and its size as it is shown."""

    data: bytes
    width: int
    height: int

    @property
    def described(self) -> dict[str, Any]:
        """What a message says of it besides where it is: its hash, size and type."""
        return {
            "sha256": hashlib.sha256(self.data).hexdigest(),
            "bytes": len(self.data),
            "media_type": MEDIA_TYPE,
            "width": self.width,
            "height": self.height,
        }


@dataclass(frozen=True)
class Pictures:
    """A photo's pictures for showing."""

    display: Made
    thumbnail: Made


def make_pictures(data: bytes) -> Pictures:
    """Make both pictures of a photo: upright, in sRGB, on white.

    Raises:
        PhotoError: it cannot be decoded.
    """
    photo = read_photo(data)
    stripped = _stripped(photo.lean)
    if stripped is not None:
        return Pictures(stripped, _encoded(_shown(photo, THUMBNAIL_PX), THUMBNAIL_PX))
    shown = _shown(photo, DISPLAY_PX)
    return Pictures(_encoded(shown, DISPLAY_PX), _encoded(shown, THUMBNAIL_PX))


def make_readable(data: bytes) -> Made:
    """Make the picture of a photo that a model can read as well: upright, in sRGB, on white.

    Raises:
        PhotoError: it cannot be decoded.
    """
    return _encoded(_shown(read_photo(data), READABLE_PX), READABLE_PX)


def _stripped(lean: Lean) -> Made | None:
    """Return a JPEG that is small enough and in sRGB as it is, without its metadata: decoding it and coding
    it again would cost as much as a reading, and quality.
    """
    fits = max(lean.width, lean.height) <= DISPLAY_PX and len(lean.data) <= _AS_IT_IS_BYTES
    if lean.format != "JPEG" or not fits or _profile(lean) is not None:
        return None
    turned = lean.orientation >= 5
    width, height = (lean.height, lean.width) if turned else (lean.width, lean.height)
    data = without_tail(lean)
    if lean.orientation == UPRIGHT:
        return Made(data, width, height)
    exif = orientation_only(lean.orientation)
    segment = b"\xff\xe1" + (2 + len(exif)).to_bytes(2, "big") + exif
    # Behind SOI, or behind JFIF's segment, which wants to be the first.
    at = 20 if data[2:4] == b"\xff\xe0" else 2
    return Made(data[:at] + segment + data[at:], width, height)


def _shown(photo: Photo, longest: int) -> Image.Image:
    lean = photo.lean
    # Its shorter side so long that the longer one is not below what is wanted.
    least = max(1, longest * min(lean.width, lean.height) // max(lean.width, lean.height))
    # What was decoded is gone before more is made of it.
    image = _shrunk(decode(photo, least), longest)
    image = _in_srgb(_on_white(image), _profile(lean))
    turn = TURNS.get(lean.orientation)
    return image if turn is None else image.transpose(turn)


def _shrunk(image: Image.Image, longest: int) -> Image.Image:
    scale = longest / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # Averaged by blocks to twice what is wanted, then resized well. Of the largest, twice is too much.
    gap = 2.0 if image.width * image.height <= _LARGE_PIXELS else 1.0
    if image.mode not in _PLAIN or "transparency" in image.info:
        image, gap = small_rgba(image, max(1, max(image.size) // longest)), 1.0
    return image if scale >= 1 else image.resize(size, Image.Resampling.BICUBIC, reducing_gap=gap)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(ground, image).convert("RGB")


def _profile(lean: Lean) -> bytes | None:
    """Return the colour profile, unless it says what a picture without one is taken for."""
    profile = lean.profile()
    return None if profile is None or b"sRGB" in profile or b"s\0R\0G\0B" in profile else profile


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile is not None:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            turned = ImageCms.profileToProfile(image, source, _SRGB_PROFILE, outputMode="RGB")
            if turned is not None:
                return turned
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # broken, or of other colours than the picture's: it is shown as if it had none
    return image if image.mode == "L" else image.convert("RGB")


def _encoded(image: Image.Image, longest: int) -> Made:
    small = _shrunk(image, longest)
    file = io.BytesIO()
    try:
        small.save(file, "JPEG", quality=_QUALITY[longest])
    except OSError as error:
        raise PhotoError(f"The picture for showing cannot be made: {error}") from error
    return Made(file.getvalue(), *small.size)
