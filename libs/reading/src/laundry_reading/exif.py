"""The one thing needed from EXIF: the orientation. Anything broken means "as stored"."""

from __future__ import annotations

import struct

from PIL import Image

UPRIGHT = 1
_ORIENTATION = 0x0112
_INTEGERS = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4)}

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation_of(tiff: bytes) -> int:
    """Return the orientation, 1 to 8, that a TIFF structure (EXIF without its `Exif` prefix) tells."""
    if len(tiff) < 8:
        return UPRIGHT
    if tiff[:4] == b"II*\0":
        order = "<"
    elif tiff[:4] == b"MM\0*":
        order = ">"
    else:
        return UPRIGHT
    try:
        (first,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, first)
        for place in range(first + 2, first + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", tiff, place)
            if tag == _ORIENTATION and kind in _INTEGERS:
                (found,) = struct.unpack_from(f"{order}{_INTEGERS[kind][0]}", tiff, place + 8)
                return int(found) if found in TURNS else UPRIGHT
    except struct.error:
        return UPRIGHT
    return UPRIGHT


def orientation_only(orientation: int) -> bytes:
    """Write EXIF, with its prefix, that tells the orientation and nothing else."""
    entry = struct.pack(">HHIHH", _ORIENTATION, 3, 1, orientation, 0)
    return b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", 0)
