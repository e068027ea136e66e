"""JPEG as decoders take it: stray bytes between segments are skipped, and only the picture's own are kept."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field

from PIL import Image

from laundry_reading.errors import TooManyPixels, UnsupportedEncoding, cut_off, damaged
from laundry_reading.exif import UPRIGHT, orientation_of
from laundry_reading.lean import Lean, check_pixels
from laundry_reading.rows import decodes_without_complaint

MAX_COEFFICIENT_BYTES = 190_000_000
"""A JPEG of several scans is held as coefficients, two bytes each, until the last scan is read."""

MAX_SCANS = 100
"""No encoder writes a fifth of it; each scan may cost as much time as the whole picture."""

MAX_SEGMENTS = 10_000
"""Before the first scan, and again behind it: twenty times what 30 MB of the longest segments make."""

_START, _END = b"\xff\xd8", b"\xff\xd9"
_SOF = frozenset({0xC0, 0xC1, 0xC2})
_FOREIGN = {
    **dict.fromkeys((0xC3, 0xCB), "lossless"),
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE), "hierarchical"),
    **dict.fromkeys((0xC9, 0xCA), "arithmetic"),
}
_TABLES = frozenset({0xC4, 0xDB, 0xDD})
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_SOS, _EOI, _SOI = 0xDA, 0xD9, 0xD8
_JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
_LARGEST_SIDE = 65_500
_SOME_BYTES = 32_768
_MOST_PARTS = 4
# In a scan an FF is data or a restart; anything else behind it begins a segment.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# Before it decoders skip whatever is none, fill bytes and markers that stand alone.
_SEGMENT = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")


@dataclass
class _Found:
    """What the segments before the first scan say."""

    kept: list[bytes] = field(default_factory=list)
    frame: bytes | None = None
    jfif: bool = False
    adobe: bytes | None = None
    exif: bytes | None = None
    profile: list[bytes] = field(default_factory=list)


def read_jpeg(data: bytes) -> Lean:
    """Find the picture in a JPEG.

    Raises:
        PhotoError: cut off, damaged, of a kind that no browser shows, or too large to be decoded in bounded
            memory.
    """
    found = _Found()
    scans_at = _read_segments(data, found)
    frame = found.frame
    if frame is None:
        raise damaged()
    height, width = int.from_bytes(frame[5:7], "big"), int.from_bytes(frame[7:9], "big")
    if not 0 < height <= _LARGEST_SIDE or not 0 < width <= _LARGEST_SIDE:
        raise damaged()
    check_pixels("JPEG", width, height)
    head = b"".join([_START, _JFIF if found.jfif else b"", found.adobe or b"", *found.kept])
    single = frame[1] != 0xC2 and data[scans_at + 4 : scans_at + 5] == frame[9:10]
    # From behind: most end there, and nothing else is read of half a megabyte. A decoder stops at the first.
    end = data.rfind(_END, scans_at) if single else -1
    closed = end >= 0
    if not closed:
        scans = _scans(data, scans_at)
        end, closed = scans.end, scans.closed
        if not single:
            _check_size(frame, width, height, len(scans.begins))
    orientation = UPRIGHT if found.exif is None else orientation_of(found.exif)
    chunks = found.profile
    return Lean(
        "JPEG",
        width,
        height,
        b"".join([head, memoryview(data)[scans_at:end], _END]),
        orientation,
        by_rows=single,
        ends=closed,
        profile=lambda: _profile(chunks),
    )


def without_tail(lean: Lean) -> bytes:
    """Return the JPEG without what a phone has appended, which is no picture of it."""
    data = lean.data
    return data[: data.index(_END, _scan_at(data, _frame_at(data))) + 2] if lean.by_rows else data


def only_first_scan(lean: Lean) -> bytes:
    """Return the JPEG with its first scan alone, which was tried when it was checked."""
    data = lean.data
    if lean.by_rows:
        return data
    return data[: _scans(data, _scan_at(data, _frame_at(data))).first_end] + _END


def _read_segments(data: bytes, found: _Found) -> int:
    """Read what comes before the first scan; returns where that begins."""
    position = 2
    for _ in range(MAX_SEGMENTS):
        at = _SEGMENT.search(data, position)
        if at is None:
            raise cut_off()
        position = at.start()
        marker = data[position + 1]
        if marker in (_EOI, _SOI):
            raise damaged()
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        end = position + 2 + length
        if end > len(data) or position + 4 > len(data):
            raise cut_off()
        if length < 2:
            raise damaged()
        if marker == _SOS:
            return position
        _take(data[position:end], marker, found)
        position = end
    raise damaged()


def _take(segment: bytes, marker: int, found: _Found) -> None:
    body = segment[4:]
    if marker in _FOREIGN:
        raise _foreign(_FOREIGN[marker])
    if marker in _SOF:
        if found.frame is not None or len(segment) < 10:
            raise damaged()
        if segment[4] != 8:
            raise _foreign(f"{segment[4]}-bit")
        found.frame = segment
        found.kept.append(segment)
    elif marker in _TABLES:
        found.kept.append(segment)
    elif marker == 0xE0 and len(body) >= 14 and body.startswith(b"JFIF\0"):
        found.jfif = True
    elif marker == 0xEE and len(body) >= 12 and body.startswith(b"Adobe"):
        found.adobe = b"\xff\xee\x00\x0e" + body[:12]
    elif marker == 0xE1 and body.startswith(b"Exif\0") and found.exif is None:
        found.exif = body[6:]
    elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
        found.profile.append(body[12:])


def _foreign(encoding: str) -> UnsupportedEncoding:
    return UnsupportedEncoding(
        f"The photo is a JPEG of a kind that browsers do not show ({encoding}). Save it as an ordinary JPEG "
        "or PNG and send that.",
        encoding=encoding,
    )


def _profile(chunks: list[bytes]) -> bytes | None:
    whole = b"".join(chunk[2:] for chunk in sorted(chunks, key=lambda chunk: chunk[:1]))
    return whole or None


@dataclass(frozen=True)
class _Scans:
    """Where the first scan and all of them end, whether an end marker follows, and where each begins."""

    first_end: int
    end: int
    closed: bool
    begins: list[int]


def _scans(data: bytes, position: int) -> _Scans:
    begins: list[int] = []
    first_end = 0
    for _ in range(MAX_SEGMENTS):
        marker = data[position + 1]
        if marker == _SOS:
            begins.append(position)
        elif marker in (_EOI, _SOI) or marker in _FOREIGN or marker in _SOF:
            # Another picture's start can only be what a phone has appended without ending the first.
            return _Scans(first_end or position, position, marker == _EOI, begins)
        if marker not in _ALONE:
            length = int.from_bytes(data[position + 2 : position + 4], "big")
            position += 2 + max(length, 2)
        else:
            position += 2
        after = _MARKER.search(data, position)
        if after is None:
            return _Scans(first_end or len(data), len(data), False, begins)
        position = after.start()
        if len(begins) == 1 and not first_end:
            first_end = position
    raise damaged()


def _check_size(frame: bytes, width: int, height: int, scans: int) -> None:
    parts = [frame[place : place + 3] for place in range(10, 10 + 3 * frame[9], 3)]
    across = max((part[1] >> 4 for part in parts if len(part) == 3), default=1) or 1
    down = max((part[1] & 15 for part in parts if len(part) == 3), default=1) or 1
    samples = sum((part[1] >> 4) * (part[1] & 15) for part in parts if len(part) == 3)
    coefficients = 2 * width * height * samples // (across * down)
    if coefficients > MAX_COEFFICIENT_BYTES:
        raise TooManyPixels(
            f"The photo is a progressive JPEG of {width} x {height} pixels, which cannot be read in bounded "
            "memory. Save it as an ordinary (baseline) JPEG or make it smaller.",
            width=width,
            height=height,
            max_pixels=MAX_COEFFICIENT_BYTES * across * down // (2 * max(1, samples)),
        )
    if scans > MAX_SCANS:
        raise damaged()


def try_first_row(lean: Lean) -> None:
    """Decode the first row of blocks: with its tables whole, the rest of a scan can only look wrong.

    Raises:
        DamagedPhoto: it does not decode.
    """
    data = lean.data
    at = _frame_at(data)
    scan = _scan_at(data, at)
    if not lean.by_rows:
        data = data[: _scans(data, scan).first_end]
    down = max((part & 15 for part in data[at + 11 : at + 10 + 3 * data[at + 9] : 3]), default=1) or 1
    rows = min(lean.height, 8 * down)
    try:
        # What is not there is gray: its blocks need not be whole.
        head, some = data[at + 7 : scan], data[scan : scan + _SOME_BYTES]
        short = b"".join([data[: at + 5], rows.to_bytes(2, "big"), head, some, _END])
        with Image.open(io.BytesIO(short), formats=("JPEG",)) as image:
            image.draft("RGB", (max(1, image.width // 8), 1))
            image.load()
    except MemoryError:
        raise
    except Exception as error:  # what a decoder raises on damaged bytes is not a closed list
        raise damaged() from error


def _scan_at(lean: bytes, at: int) -> int:
    while lean[at + 1] != _SOS:
        at += 2 + int.from_bytes(lean[at + 2 : at + 4], "big")
    return at


def _frame_at(lean: bytes) -> int:
    at = 2
    while lean[at + 1] not in _SOF:
        at += 2 + int.from_bytes(lean[at + 2 : at + 4], "big")
    return at


def _has_every_scan(lean: bytes) -> bool:
    """Whether the scans tell every coefficient of every component to its last bit."""
    frame = _frame_at(lean)
    told: dict[tuple[int, int], int] = {}
    for at in _scans(lean, _scan_at(lean, frame)).begins:
        parts = int.from_bytes(lean[at + 4 : at + 5], "big")
        if parts > _MOST_PARTS or at + 8 + 2 * parts > len(lean):
            return False
        first, last, bits = lean[at + 5 + 2 * parts : at + 8 + 2 * parts]
        for part in lean[at + 5 : at + 5 + 2 * parts : 2]:
            told |= {(part, place): bits & 15 for place in range(first, min(last, 63) + 1)}
    known = lean[frame + 10 : frame + 10 + 3 * lean[frame + 9] : 3]
    return all(told.get((part, place), 1) == 0 for part in known for place in range(64))


def is_whole(lean: Lean) -> bool:
    """Whether a last scan that nothing ends is all there: some phones' panoramas lack the end mark."""
    if lean.ends:
        return True
    if not lean.by_rows:
        return _has_every_scan(lean.data) and decodes_without_complaint(lean.data)
    try:
        # The decoder reads some bytes ahead; without them Pillow misses the rest.
        data = lean.data.removesuffix(_END) + bytes(4)
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            image.draft("RGB", (max(1, lean.width // 8), max(1, lean.height // 8)))
            image.load()
    except MemoryError:
        raise
    except Exception:
        return False
    return True
