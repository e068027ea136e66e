"""From a photo's bytes to what the model sees. Training and serving call this same function."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from laundry_reading.photo import EmptyPhoto, TruncatedPhoto, open_image

PREPROCESS_VERSION = "squash-rgb-1"
"""Changes whenever the same photo would give another array; a model names the one it was trained with."""

_STRIP_PIXELS = 1_000_000
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_for_model(data: bytes, size: int) -> npt.NDArray[np.uint8]:
    """Decode a photo into the square that the model reads.

    The whole frame is squashed, turned upright by its EXIF orientation. A JPEG is decoded at the smallest of
    its built-in scales that still has twice the needed resolution, which bounds both time and memory.

    Args:
        data: the whole file, JPEG, PNG or WebP.
        size: edge of the square, pixels.

    Returns:
        uint8 RGB, shape [size, size, 3].

    Raises:
        PhotoError: the bytes are no readable photo.
    """
    if not data:
        raise EmptyPhoto("The photo is empty: no bytes arrived.")
    with open_image(data) as image:
        try:
            image.draft("RGB", (2 * size, 2 * size))
            image.load()
            square = _to_square_rgb(image, size)
        except MemoryError:
            raise
        except Exception as error:  # what a decoder raises on damaged bytes is not a closed list
            raise TruncatedPhoto("The photo is cut off or damaged inside. Send it again.") from error
        try:
            # After load(): a PNG is loaded by asking for its EXIF, and what failed then would pass for black.
            turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
        except Exception:
            turn = None  # damaged EXIF: the picture itself may be whole
    # On a square, turning after shrinking gives what turning before would, for a fraction of the work.
    if turn is not None:
        square = square.transpose(turn)
    return np.asarray(square, dtype=np.uint8)


def _to_square_rgb(image: Image.Image, size: int) -> Image.Image:
    if image.mode in ("RGB", "L", "CMYK", "YCbCr") and "transparency" not in image.info:
        return image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0).convert("RGB")
    small = _to_small_rgba(image, size)
    # Shrink first (Pillow weighs colours by alpha), then lay on white as a photo's ground would be.
    small = small.resize((size, size), Image.Resampling.BILINEAR)
    ground = Image.new("RGBA", (size, size), (255, 255, 255, 255))
    return Image.alpha_composite(ground, small).convert("RGB")


def _to_small_rgba(image: Image.Image, size: int) -> Image.Image:
    # These modes must be converted before they can be averaged, and a converted copy of the whole costs
    # hundreds of megabytes at the largest size: convert and shrink strip by strip instead.
    factor = max(1, min(image.width, image.height) // (2 * size))
    if factor == 1:
        return _to_rgba(image)
    shape = (-(-image.width // factor), -(-image.height // factor))
    small = Image.new("RGBA", shape)
    rows = factor * max(1, _STRIP_PIXELS // (image.width * factor))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        strip.info = image.info  # a crop may lose which colour is transparent
        small.paste(_to_rgba(strip).reduce(factor), (0, top // factor))
    return small


def _to_rgba(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow clips 16-bit gray to white when it converts; bring it down to eight bits by its high byte.
        deep = np.asarray(image.convert("F"))
        image = Image.fromarray(np.clip(deep / 257.0 + 0.5, 0, 255).astype(np.uint8))
    return image.convert("RGBA")
