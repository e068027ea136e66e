"""Writes a HEIC or AVIF of one coded picture, with nothing in it but what its decoder needs."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from laundry_reading.heif import Item, Property

# How it is coded and its colours. Not `irot`, `imir`: a picture is turned when it is small. Not `clap`.
_NEEDED = frozenset({b"ispe", b"hvcC", b"av1C", b"pixi", b"auxC"})


def wrap(item: Item, coded: bytes, *, alpha: tuple[Item, bytes] | None = None) -> bytes:
    """Write the file of a coded picture, with its transparency if it has one."""
    pictures = [(item, coded), *([alpha] if alpha is not None else [])]
    brand = b"avif" if item.kind == b"av01" else b"heic"
    ftyp = _box(b"ftyp", brand + bytes(4) + b"mif1" + brand + b"miaf")
    # The places of the bytes follow from the length of what tells them: it has the same length with any.
    length = len(ftyp) + len(_meta(pictures, 0)) + 8
    return ftyp + _meta(pictures, length) + _box(b"mdat", b"".join(each for _, each in pictures))


def _meta(pictures: Sequence[tuple[Item, bytes]], start: int) -> bytes:
    entries: list[bytes] = []
    places: list[bytes] = []
    owned: list[bytes] = []
    boxes: list[bytes] = []
    for number, (item, coded) in enumerate(pictures, start=1):
        entries.append(_box(b"infe", struct.pack(">IHH4sx", 0x02000000, number, 0, item.kind)))
        places.append(struct.pack(">HHHII", number, 0, 1, start, len(coded)))
        start += len(coded)
        own = [each.box for each in item.properties if _is_needed(each)]
        indices = b"".join(struct.pack(">B", 0x80 | len(boxes) + n) for n in range(1, 1 + len(own)))
        owned.append(struct.pack(">HB", number, len(own)) + indices)
        boxes += own
    properties = _box(b"ipco", b"".join(boxes)) + _box(
        b"ipma", struct.pack(">II", 0, len(pictures)) + b"".join(owned)
    )
    parts = [
        _box(b"hdlr", bytes(8) + b"pict" + bytes(13)),
        _box(b"pitm", struct.pack(">IH", 0, 1)),
        _box(b"iinf", struct.pack(">IH", 0, len(pictures)) + b"".join(entries)),
        _box(b"iprp", properties),
        _box(b"iloc", struct.pack(">IBBH", 0, 0x44, 0, len(pictures)) + b"".join(places)),
    ]
    if len(pictures) > 1:
        parts.append(_box(b"iref", bytes(4) + _box(b"auxl", struct.pack(">HHH", 2, 1, 1))))
    return _box(b"meta", bytes(4) + b"".join(parts))


def _is_needed(each: Property) -> bool:
    return each.kind in _NEEDED or (each.kind == b"colr" and each.body[:4] == b"nclx")


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body
