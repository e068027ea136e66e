"""WebP: the picture's chunks, lossy or lossless, with its transparency."""

from __future__ import annotations

import struct

from laundry_reading.errors import TooManyPixels, cut_off, damaged
from laundry_reading.exif import UPRIGHT, orientation_of
from laundry_reading.lean import Lean, check_pixels

MAX_WHOLE_PIXELS = 36_000_000
"""Lossless or transparent, its decoder holds the picture whole; what is lossy it holds by rows."""

MAX_ANIMATED_PIXELS = 12_000_000
"""The decoder of an animation holds its canvas four times."""

_PIXELS = frozenset({b"VP8 ", b"VP8L"})
_ANIMATED, _TRANSPARENT = 0x02, 0x10


def read_webp(data: bytes) -> Lean:
    """Find the picture in a WebP.

    Raises:
        PhotoError: cut off, damaged, or too large for its kind.
    """
    kept: list[tuple[bytes, bytes]] = []
    flags, canvas = 0, None
    orientation, profile = UPRIGHT, b""
    position, whole, seen = 12, True, False
    end = int.from_bytes(data[4:8], "little") + 8
    while position + 8 <= len(data) and (position < end or not seen):
        kind, length = (
            data[position : position + 4],
            int.from_bytes(data[position + 4 : position + 8], "little"),
        )
        body = data[position + 8 : position + 8 + length]
        whole = len(body) == length
        position += 8 + length + length % 2
        if not whole:
            break
        if kind == b"VP8X" and len(body) >= 10 and canvas is None and not kept:
            flags = body[0] & (_ANIMATED | _TRANSPARENT)
            canvas = 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
            kept.append((kind, bytes([flags]) + bytes(3) + body[4:10]))
        elif kind in _PIXELS or kind in (b"ALPH", b"ANIM", b"ANMF"):
            kept.append((kind, body))
            seen = seen or kind in _PIXELS or kind == b"ANMF"
        elif kind == b"EXIF":
            orientation = orientation_of(body.removeprefix(b"Exif\0\0"))
        elif kind == b"ICCP":
            profile = body
    if not seen:
        raise damaged() if whole and end <= len(data) else cut_off()
    width, height = canvas or _size(kept)
    animated = any(kind == b"ANMF" for kind, _ in kept)
    by_rows = kept[-1][0] == b"VP8 " and not any(kind == b"ALPH" for kind, _ in kept)
    check_pixels("WebP", width, height)
    _check_size(width, height, animated=animated, by_rows=by_rows)
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(each)) + each + b"\0" * (len(each) % 2) for kind, each in kept
    )
    lean = b"RIFF" + struct.pack("<I", len(body)) + body
    return Lean("WEBP", width, height, lean, orientation, profile=lambda: profile or None)


def _size(kept: list[tuple[bytes, bytes]]) -> tuple[int, int]:
    for kind, body in kept:
        if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a" and len(body) >= 10:
            across, down = struct.unpack_from("<HH", body, 6)
            width, height = across & 0x3FFF, down & 0x3FFF
            if width and height:
                return width, height
        if kind == b"VP8L" and body[:1] == b"\x2f" and len(body) >= 5:
            (bits,) = struct.unpack_from("<I", body, 1)
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    raise damaged()


def _check_size(width: int, height: int, *, animated: bool, by_rows: bool) -> None:
    most = MAX_ANIMATED_PIXELS if animated else None if by_rows else MAX_WHOLE_PIXELS
    if most is not None and width * height > most:
        kind = "animated" if animated else "lossless or transparent"
        raise TooManyPixels(
            f"The photo is a WebP of {width} x {height} pixels, {kind}; at most {most:,} pixels of such "
            "are read in bounded memory. Save it as a JPEG or make it smaller.",
            width=width,
            height=height,
            max_pixels=most,
        )
