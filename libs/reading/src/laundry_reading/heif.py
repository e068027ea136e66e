"""HEIC and AVIF: one container (ISO 23008-12), read as far as its picture, which is taken out of it.

The picture is one coded item or a grid of them. Each is wrapped into a container of its own
(`heif_writer`), so that decoders meet no box that somebody else wrote but the codec's own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from laundry_reading.boxes import Numbers, Place, boxes, first_of_each
from laundry_reading.errors import PhotoError, UnsupportedFormat, cut_off, damaged

CODECS = {b"hvc1": "HEIC", b"av01": "AVIF"}
MAX_TILES = 4096

# What a file says in a byte or two takes many times that once it is read. Phones write a few hundred of each.
_MOST_ITEMS = 10_000
_MOST_EXTENTS = 32
_MOST_PROPERTIES = 255
_MOST_REFERENCES = 100_000


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
            PhotoError: as ``places_of``.
        """
        source = self.idat if item.in_meta else self.data
        return b"".join([source[start:end] for start, end in self.places_of(item)])

    def places_of(self, item: Item) -> list[Place]:
        """Return where an item's bytes begin and end, piece by piece.

        Raises:
            TruncatedPhoto: the file ends before they do.
            DamagedPhoto: it has none, or more than the whole file, so that some are there twice.
        """
        most = len(self.idat if item.in_meta else self.data)
        places = [(at, at + length if length else most) for at, length in item.extents]
        if any(end > most or end <= start for start, end in places):
            raise damaged() if item.in_meta else cut_off()
        if not 0 < sum(end - start for start, end in places) <= most:
            raise damaged()
        return places

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
    if end > len(data):
        raise cut_off()
    inside = first_of_each(data, start + 4, end)
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


def _read_items(data: bytes, place: Place) -> dict[int, Item]:
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


def _read_properties(data: bytes, place: Place, items: dict[int, Item]) -> None:
    inside = first_of_each(data, *place)
    at, end = inside[b"ipco"]
    found = []
    for kind, (start, stop) in boxes(data, at, end):
        body = data[start : min(stop, end)]
        found.append(Property(kind, struct.pack(">I4s", 8 + len(body), kind) + body))
    at, end = inside[b"ipma"]
    version, flags = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
    numbers = Numbers(data, at + 4, end)
    width, index_of = (2, 0x7FFF) if flags & 1 else (1, 0x7F)
    for _ in range(min(numbers.take(4), _MOST_ITEMS)):
        item = items.get(numbers.take(2 if version < 1 else 4))
        for _ in range(numbers.take(1)):
            index = numbers.take(width) & index_of
            if item is not None and 0 < index <= len(found):
                item.properties.append(found[index - 1])
        # An item has one entry; of those that have several, each may be as long.
        if item is not None and len(item.properties) > _MOST_PROPERTIES:
            raise damaged()


def _read_places(data: bytes, place: Place, items: dict[int, Item]) -> None:
    at, end = place
    version = data[at]
    offset_size, length_size = data[at + 4] >> 4, data[at + 4] & 15
    base_size, index_size = data[at + 5] >> 4, data[at + 5] & 15 if version else 0
    wide = 4 if version == 2 else 2
    numbers = Numbers(data, at + 6, end)
    for _ in range(min(numbers.take(wide), _MOST_ITEMS)):
        number = numbers.take(wide)
        method = numbers.take(2) & 15 if version else 0
        numbers.take(2)
        base, count = numbers.take(base_size), numbers.take(2)
        # Where a size is 0, each extent is the same one, and takes no byte of the file.
        if count > _MOST_EXTENTS or (count > 1 and not (offset_size and length_size)):
            raise damaged()
        extents = []
        for _ in range(count):
            numbers.take(index_size)
            extents.append((base + numbers.take(offset_size), numbers.take(length_size)))
        if number in items and method in (0, 1):
            items[number].extents, items[number].in_meta = extents, method == 1


def _read_references(data: bytes, place: Place) -> Iterator[tuple[bytes, int, tuple[int, ...]]]:
    at, end = place
    form, size = ("I", 4) if data[at] else ("H", 2)
    told = 0
    for kind, (start, stop) in boxes(data, at + 4, end):
        by, count = struct.unpack_from(f">{form}H", data, start)
        first = start + size + 2
        told += count
        if first + count * size > min(stop, end) or told > _MOST_REFERENCES:
            raise damaged()
        yield kind, by, struct.unpack_from(f">{count}{form}", data, first)


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


def in_full_colour(item: Item) -> bool:
    """Whether more of its colours is coded than a quarter, which is all that cameras of phones keep."""
    hevc, av1 = item.find(b"hvcC"), item.find(b"av1C")
    if hevc is not None and len(hevc.body) > 16:
        return hevc.body[16] & 3 > 1
    if av1 is not None and len(av1.body) > 2:
        return not av1.body[2] & 4
    return False


__all__ = [
    "CODECS",
    "Container",
    "Item",
    "Property",
    "in_full_colour",
    "is_deep",
    "read_container",
    "size_of",
]
