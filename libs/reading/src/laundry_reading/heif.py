"""HEIC and AVIF: one container (ISO 23008-12), read as far as its picture, which is taken out of it.

The picture is one coded item or a grid of them. Each is wrapped into a container of its own
(`heif_writer`), so that decoders meet no box that somebody else wrote but the codec's own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from laundry_reading.errors import PhotoError, UnsupportedFormat, cut_off, damaged

CODECS = {b"hvc1": "HEIC", b"av01": "AVIF"}
MAX_TILES = 4096
_MOST_ITEMS = 10_000


@dataclass(frozen=True)
class Property:
    """An item property: its kind and the whole box."""

    kind: bytes
    box: bytes

    @property
    def body(self) -> bytes:
        """What the box holds."""
        return self.box[8:]


@dataclass
class Item:
    """An item: its codec, its properties in order, and where its bytes lie."""

    kind: bytes
    properties: list[Property] = field(default_factory=list)
    extents: list[tuple[int, int]] = field(default_factory=list)
    in_meta: bool = False

    def find(self, kind: bytes) -> Property | None:
        """Return the first property of a kind."""
        return next((each for each in self.properties if each.kind == kind), None)


@dataclass(frozen=True)
class Container:
    """What the boxes say."""

    data: bytes
    primary: int
    items: dict[int, Item]
    idat: bytes
    references: list[tuple[bytes, int, tuple[int, ...]]]

    def bytes_of(self, item: Item) -> bytes:
        """Return an item's bytes.

        Raises:
            TruncatedPhoto: the file ends before they do.
        """
        source = self.idat if item.in_meta else self.data
        parts = []
        for offset, length in item.extents:
            end = offset + length if length else len(source)
            if end > len(source) or end <= offset:
                raise damaged() if item.in_meta else cut_off()
            parts.append(source[offset:end])
        if not parts:
            raise damaged()
        return b"".join(parts)

    def referred(self, kind: bytes, item_id: int) -> tuple[int, ...]:
        """Return the items that an item refers to as ``kind`` says."""
        return next((to for name, by, to in self.references if name == kind and by == item_id), ())

    def referring(self, kind: bytes, item_id: int) -> list[int]:
        """Return the items that refer to an item as ``kind`` says."""
        return [by for name, by, to in self.references if name == kind and item_id in to]


def read_container(data: bytes) -> Container:
    """Read the boxes as far as a picture needs them.

    Raises:
        PhotoError: cut off, damaged, or without a still picture.
    """
    try:
        return _read(data)
    except PhotoError:
        raise
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise damaged() from error


def _read(data: bytes) -> Container:
    meta = next((body for kind, body in boxes(data, 0, len(data)) if kind == b"meta"), None)
    if meta is None:
        if any(kind == b"moov" for kind, _ in boxes(data, 0, len(data))):
            raise UnsupportedFormat(
                "The file is a sequence of pictures, not a photo. Send one picture of it.",
                format="HEIF sequence",
            )
        raise cut_off()
    start, end = meta
    inside: dict[bytes, tuple[int, int]] = {}
    for kind, place in boxes(data, start + 4, end):
        inside.setdefault(kind, place)
    if end > len(data):
        raise cut_off()
    items = _read_items(data, inside[b"iinf"])
    _read_properties(data, inside[b"iprp"], items)
    _read_places(data, inside[b"iloc"], items)
    at, _ = inside[b"pitm"]
    primary = int.from_bytes(data[at + 4 : at + (8 if data[at] else 6)], "big")
    references = list(_read_references(data, inside[b"iref"])) if b"iref" in inside else []
    idat_at, idat_end = inside.get(b"idat", (0, 0))
    if primary not in items:
        raise damaged()
    return Container(data, primary, items, data[idat_at:idat_end], references)


def boxes(data: bytes, position: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield each box's kind with where its body begins and should end."""
    while position + 8 <= min(end, len(data)):
        size, kind = struct.unpack_from(">I4s", data, position)
        head = 8
        if size == 1 and position + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, position + 8)
            head = 16
        elif size == 0:
            size = end - position
        if size < head:
            return
        yield kind, (position + head, position + size)
        position += size


def _read_items(data: bytes, place: tuple[int, int]) -> dict[int, Item]:
    at, end = place
    start = at + (8 if data[at] else 6)
    items: dict[int, Item] = {}
    for kind, (entry, _) in boxes(data, start, end):
        if kind != b"infe" or data[entry] < 2 or len(items) >= _MOST_ITEMS:
            continue
        wide = data[entry] >= 3
        number = int.from_bytes(data[entry + 4 : entry + (8 if wide else 6)], "big")
        after = entry + (10 if wide else 8)
        items.setdefault(number, Item(data[after : after + 4]))
    return items


def _read_properties(data: bytes, place: tuple[int, int], items: dict[int, Item]) -> None:
    inside = dict(reversed(list(boxes(data, *place))))
    at, end = inside[b"ipco"]
    found = [
        Property(kind, struct.pack(">I4s", 8 + stop - start, kind) + data[start:stop])
        for kind, (start, stop) in boxes(data, at, end)
    ]
    at, _ = inside[b"ipma"]
    version, flags = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
    (count,) = struct.unpack_from(">I", data, at + 4)
    position = at + 8
    width = 2 if flags & 1 else 1
    for _ in range(min(count, _MOST_ITEMS)):
        number = int.from_bytes(data[position : position + (2 if version < 1 else 4)], "big")
        position += 2 if version < 1 else 4
        associations = data[position]
        position += 1
        for _ in range(associations):
            index = int.from_bytes(data[position : position + width], "big") & (
                0x7FFF if width == 2 else 0x7F
            )
            position += width
            if number in items and 0 < index <= len(found):
                items[number].properties.append(found[index - 1])


def _read_places(data: bytes, place: tuple[int, int], items: dict[int, Item]) -> None:
    at, _ = place
    version = data[at]
    offset_size, length_size = data[at + 4] >> 4, data[at + 4] & 15
    base_size, index_size = data[at + 5] >> 4, data[at + 5] & 15 if version else 0
    wide = 4 if version == 2 else 2
    position = at + 6
    number_of_items = int.from_bytes(data[position : position + wide], "big")
    position += wide

    def take(size: int) -> int:
        nonlocal position
        value = int.from_bytes(data[position : position + size], "big")
        position += size
        return value

    for _ in range(min(number_of_items, _MOST_ITEMS)):
        number = take(wide)
        method = take(2) & 15 if version else 0
        take(2)
        base = take(base_size)
        extents = []
        for _ in range(take(2)):
            take(index_size)
            offset = take(offset_size)
            extents.append((base + offset, take(length_size)))
            if position > len(data):
                raise damaged()
        if number in items and method in (0, 1):
            items[number].extents, items[number].in_meta = extents, method == 1


def _read_references(data: bytes, place: tuple[int, int]) -> Iterator[tuple[bytes, int, tuple[int, ...]]]:
    at, end = place
    form, size = (">I", 4) if data[at] else (">H", 2)
    for kind, (start, stop) in boxes(data, at + 4, end):
        (by,) = struct.unpack_from(form, data, start)
        (count,) = struct.unpack_from(">H", data, start + size)
        if count > _MOST_ITEMS or stop > len(data):
            raise damaged()
        places = range(start + size + 2, start + size + 2 + count * size, size)
        yield kind, by, tuple(struct.unpack_from(form, data, each)[0] for each in places)


def size_of(item: Item) -> tuple[int, int]:
    """Return an item's width and height.

    Raises:
        DamagedPhoto: it says none.
    """
    told = item.find(b"ispe")
    if told is None or len(told.body) < 12:
        raise damaged()
    width, height = struct.unpack_from(">II", told.body, 4)
    if not width or not height:
        raise damaged()
    return width, height


def is_deep(item: Item) -> bool:
    """Whether it is coded with more than eight bits a channel."""
    hevc, av1 = item.find(b"hvcC"), item.find(b"av1C")
    if hevc is not None and len(hevc.body) > 17:
        return bool(hevc.body[17] & 7)
    if av1 is not None and len(av1.body) > 2:
        return bool(av1.body[2] & 0x40)
    return False


__all__ = ["CODECS", "Container", "Item", "Property", "boxes", "is_deep", "read_container", "size_of"]
