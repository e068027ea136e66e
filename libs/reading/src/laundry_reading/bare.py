"""The file of a photo without what it tells of place, camera and person: the picture alone, not recoded.

Of JPEG, PNG and WebP only the picture's own parts are kept, with orientation and colour profile. HEIC and
AVIF are not disassembled, as everything in them is found by its place in the file: what is no part of the
picture is overwritten.
"""

from __future__ import annotations

import struct
import zlib

from laundry_reading.boxes import boxes
from laundry_reading.decoding import read_photo
from laundry_reading.errors import UnsupportedFormat
from laundry_reading.exif import UPRIGHT, orientation_only
from laundry_reading.heif import read_container
from laundry_reading.jpeg import without_tail
from laundry_reading.lean import Lean
from laundry_reading.png import SIGNATURE, chunk

_SEGMENT_BYTES = 65_000
_TELLING = frozenset({b"Exif", b"mime", b"uri "})
_NO_EXIF = b"\0\0\0\6Exif\0\0II*\0\x08" + bytes(9)
_OF_THE_PICTURE = frozenset({b"ftyp", b"meta", b"mdat"})


def bare(data: bytes) -> bytes:
    """Return a photo's file without metadata.

    Raises:
        PhotoError: it is damaged, or metadata lies where it cannot be told from the picture.
    """
    photo = read_photo(data)
    if photo.heif is not None:
        return _heif(data)
    if photo.lean.format == "JPEG":
        return _jpeg(photo.lean)
    return _png(photo.lean) if photo.lean.format == "PNG" else photo.lean.data


def _jpeg(lean: Lean) -> bytes:
    body = without_tail(lean)
    head = [body[:2]]
    if lean.orientation != UPRIGHT:
        head.append(_segment(0xE1, orientation_only(lean.orientation)))
    profile = lean.profile() or b""
    parts = [profile[at : at + _SEGMENT_BYTES] for at in range(0, len(profile), _SEGMENT_BYTES)]
    for number, part in enumerate(parts[:255], 1):
        head.append(_segment(0xE2, b"ICC_PROFILE\0" + bytes([number, len(parts)]) + part))
    return b"".join([*head, body[2:]])


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body


def _png(lean: Lean) -> bytes:
    after = len(SIGNATURE) + 25  # the header's chunk
    more = b""
    if profile := lean.profile():
        more += chunk(b"iCCP", b"icc\0\0" + zlib.compress(profile))
    if lean.orientation != UPRIGHT:
        more += chunk(b"eXIf", orientation_only(lean.orientation)[6:])
    return lean.data[:after] + more + lean.data[after:]


def _heif(data: bytes) -> bytes:
    container = read_container(data)
    # What phones add beside the picture: a clip, a maker's own data.
    telling = [place for kind, place in boxes(data, 0, len(data)) if kind not in _OF_THE_PICTURE]
    exif = []
    for item in container.items.values():
        if item.kind not in _TELLING:
            continue
        if item.in_meta:
            raise UnsupportedFormat(
                "Where this file tells of place and camera cannot be told from the picture.", format="HEIF"
            )
        places = [(at, at + length if length else len(data)) for at, length in item.extents]
        telling += places
        exif += places if item.kind == b"Exif" else []
    out = bytearray(data)
    # In order, and each byte once: a file may name the same ones again and again.
    done = 0
    for start, end in sorted(telling):
        room = min(end, len(out)) - max(start, done)
        if room > 0:
            done = max(start, done) + room
            out[done - room : done] = bytes(room)
    # Readers that expect EXIF there find one that is empty.
    for start, end in exif:
        said = _NO_EXIF[: max(0, min(end, len(out)) - start)]
        out[start : start + len(said)] = said
    return bytes(out)
