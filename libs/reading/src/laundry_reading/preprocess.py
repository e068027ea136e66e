"""From a photo's bytes to what the model sees. Training and serving call this same function."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from laundry_reading.decoding import Photo, decode, read_photo
from laundry_reading.errors import EmptyPhoto, damaged
from laundry_reading.exif import TURNS
from laundry_reading.strips import small_rgba

PREPROCESS_VERSION = "squash-rgb-1"
"""Changes whenever the same photo would give another array; a model names the one it was trained with."""


def decode_for_model(data: bytes, size: int) -> npt.NDArray[np.uint8]:
    """Decode a photo into the square that the model reads.

    The whole frame is squashed, turned upright by its EXIF orientation. A JPEG is decoded at the smallest of
    its built-in scales that still has twice the needed resolution, which bounds both time and memory.

    Args:
        data: the whole file, of any format that is taken.
        size: edge of the square, pixels.

    Returns:
        uint8 RGB, shape [size, size, 3].

    Raises:
        PhotoError: the bytes are no readable photo.
    """
    if not data:
        raise EmptyPhoto("The photo is empty: no bytes arrived.")
    return square_of(read_photo(data), size)


def square_of(photo: Photo, size: int) -> npt.NDArray[np.uint8]:
    """Decode a photo whose structure was read, as ``decode_for_model`` does.

    Raises:
        PhotoError: it cannot be decoded.
    """
    with decode(photo, 2 * size) as image:
        try:
            square = _to_square_rgb(image, size)
        except MemoryError:
            raise
        except Exception as error:  # what a converter raises on a strange palette is not a closed list
            raise damaged() from error
    # On a square, turning after shrinking gives what turning before would, for a fraction of the work.
    turn = TURNS.get(photo.lean.orientation)
    if turn is not None:
        square = square.transpose(turn)
    return np.asarray(square, dtype=np.uint8)


def _to_square_rgb(image: Image.Image, size: int) -> Image.Image:
    if image.mode in ("RGB", "L", "CMYK", "YCbCr") and "transparency" not in image.info:
        return image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0).convert("RGB")
    small = small_rgba(image, max(1, min(image.width, image.height) // (2 * size)))
    # Shrink first (Pillow weighs colours by alpha), then lay on white as a photo's ground would be.
    small = small.resize((size, size), Image.Resampling.BILINEAR)
    ground = Image.new("RGBA", (size, size), (255, 255, 255, 255))
    return Image.alpha_composite(ground, small).convert("RGB")
