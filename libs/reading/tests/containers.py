"""HEIC files whose boxes say what no camera says: any counts, any sizes, the same things again and again."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .pictures import box

ISPE = box(b"ispe", struct.pack(">III", 0, 64, 64))
HVCC = box(b"hvcC", bytes(23))
EXTENT = struct.pack(">II", 8, 100)
"""A hundred bytes from the eighth on: which of the file's they are matters only to a decoder."""


class Placed(NamedTuple):
    """An entry of an `iloc`: how many extents it says that an item has, and what is written of them."""

    number: int
    extents: int = 1
    written: bytes = EXTENT
    method: int = 0


def places(
    entries: Sequence[Placed], *, sizes: tuple[int, int, int] = (4, 4, 0), claimed: int | None = None
) -> bytes:
    """The body of an `iloc`.

    Args:
        sizes: how many bytes an offset, a length and a base take.
        claimed: how many entries it says that it has.
    """
    offset, length, base = sizes
    count = len(entries) if claimed is None else claimed
    return struct.pack(">IBBH", 1 << 24, offset << 4 | length, base << 4, count) + b"".join(
        struct.pack(">HHH", each.number, each.method, 0)
        + bytes(base)
        + struct.pack(">H", each.extents)
        + each.written
        for each in entries
    )


def owned(entries: Sequence[tuple[int, bytes]], *, claimed: int | None = None) -> bytes:
    """The body of an `ipma`: entries of an item's number and the numbers of its properties."""
    head = struct.pack(">II", 0, len(entries) if claimed is None else claimed)
    return head + b"".join(struct.pack(">HB", number, len(some)) + some for number, some in entries)


def reference(kind: bytes, by: int, to: Sequence[int], *, claimed: int | None = None) -> bytes:
    """A box of an `iref`, which may say that it names more items than it does."""
    numbers = b"".join(struct.pack(">H", number) for number in to)
    return box(kind, struct.pack(">HH", by, len(to) if claimed is None else claimed) + numbers)


@dataclass
class Told:
    """What a file says; by default a picture of 64 x 64 pixels in one piece.

    Attributes:
        kinds: of the items 1, 2, ...
        more: boxes of `meta` that nobody needs.
        data: what follows it.
    """

    kinds: Sequence[bytes] = (b"hvc1",)
    properties: bytes = ISPE + HVCC
    owned: bytes = owned([(1, b"\x01\x02")])
    places: bytes = places([Placed(1)])
    references: bytes | None = None
    idat: bytes = b""
    more: bytes = b""
    data: bytes = bytes(200)

    def file(self) -> bytes:
        """The whole file."""
        entries = b"".join(
            box(b"infe", struct.pack(">IHH4sx", 0x02000000, number, 0, kind))
            for number, kind in enumerate(self.kinds, 1)
        )
        parts = [
            self.more,
            box(b"pitm", struct.pack(">IH", 0, 1)),
            box(b"iinf", struct.pack(">IH", 0, len(self.kinds)) + entries),
            box(b"iprp", box(b"ipco", self.properties) + box(b"ipma", self.owned)),
            box(b"iloc", self.places),
            box(b"idat", self.idat),
            b"" if self.references is None else box(b"iref", bytes(4) + self.references),
        ]
        ftyp = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
        return ftyp + box(b"meta", bytes(4) + b"".join(parts)) + box(b"mdat", self.data)


def grid(tiles: Sequence[int], *, columns: int) -> Told:
    """A grid of tiles of 64 x 64 pixels, which are the items named: 2, 3, ..., in any order and number."""
    rows, last = len(tiles) // columns, max(tiles)
    told = struct.pack(">BBBBII", 0, 1, rows - 1, columns - 1, 64 * columns, 64 * rows)
    return Told(
        kinds=[b"grid", *[b"hvc1"] * (last - 1)],
        owned=owned([(number, b"\x01\x02") for number in range(2, last + 1)]),
        places=places(
            [
                Placed(1, written=struct.pack(">II", 0, len(told)), method=1),
                *(Placed(number) for number in range(2, last + 1)),
            ]
        ),
        references=reference(b"dimg", 1, tiles),
        idat=told,
    )
