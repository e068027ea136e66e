"""Whatever a few kilobytes say of items, extents, properties and references: they cost what they weigh."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laundry_reading.bare import bare
from laundry_reading.decoding import read_photo
from laundry_reading.heif import MAX_TILES
from laundry_reading.photo import DamagedPhoto, PhotoError, UnsupportedFormat

from .containers import EXTENT, HVCC, ISPE, Placed, Told, grid, owned, places, reference
from .pictures import box
from .work import TIMES, bounded

WHOLE = struct.pack(">II", 8, 0)
"""An extent from the eighth byte to the end."""

MANY = range(2, 10_000)


def several(number: int) -> list[bytes]:
    return [b"hvc1"] * number


HOSTILE: dict[str, Callable[[], bytes]] = {
    "extents that take no byte": lambda: Told(
        kinds=several(40), places=places([Placed(n, 65_535, b"") for n in range(1, 41)], sizes=(0, 0, 0))
    ).file(),
    "two extents that take no byte": lambda: Told(
        places=places([Placed(1, 2, bytes(8))], sizes=(0, 4, 0)),
    ).file(),
    "items of 32 extents that take no byte": lambda: Told(
        kinds=several(5000), places=places([Placed(n, 32, b"") for n in range(1, 5001)], sizes=(0, 0, 0))
    ).file(),
    "1,000 pieces of a byte": lambda: Told(
        places=places([Placed(1, 1000, b"".join(struct.pack(">II", 8 + n, 1) for n in range(1000)))]),
        data=bytes(2000),
    ).file(),
    "the rest of the file 2,000 times": lambda: Told(places=places([Placed(1, 2000, WHOLE * 2000)])).file(),
    "the rest of the file 30 times": lambda: Told(
        places=places([Placed(1, 30, WHOLE * 30)]), data=bytes(100_000)
    ).file(),
    "the same bytes 30 times": lambda: Told(places=places([Placed(1, 30, EXTENT * 30)])).file(),
    "references of 10,000 items in 12 bytes": lambda: replace(
        grid([2, 2], columns=2),
        references=reference(b"dimg", 1, [2, 2]) + reference(b"cdsc", 2, [], claimed=10_000) * 50,
        data=bytes(20_000),
    ).file(),
    "references beyond their box": lambda: replace(
        grid([2, 2], columns=2),
        references=reference(b"dimg", 1, [2, 2]) + reference(b"cdsc", 2, [1], claimed=5000),
        data=bytes(20_000),
    ).file(),
    "more references than there are items": lambda: replace(
        grid([2, 2], columns=2), references=reference(b"dimg", 1, [2, 2]) + reference(b"cdsc", 2, MANY) * 12
    ).file(),
    "an item with the properties of thousands": lambda: Told(
        properties=(ISPE + HVCC), owned=owned([(1, b"\x02" * 255)] * 500)
    ).file(),
    "properties beyond their box": lambda: Told(
        owned=owned([(1, b"\x01\x02")], claimed=10_000), data=bytes(100_000)
    ).file(),
    "places beyond their box": lambda: Told(
        places=places([Placed(1)], claimed=10_000), data=bytes(100_000)
    ).file(),
    "100,000 properties": lambda: Told(properties=ISPE + HVCC + box(b"free", b"") * 100_000).file(),
    "100,000 kinds of boxes": lambda: Told(
        more=b"".join(box(struct.pack(">I", n), b"") for n in range(1, 100_001))
    ).file(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_says_more_than_it_weighs_is_refused(name: str) -> None:
    data = HOSTILE[name]()
    with bounded(steps=600_000, megabytes=16), pytest.raises(DamagedPhoto):
        read_photo(data)


def test_a_tile_that_is_in_every_place_is_looked_at_once() -> None:
    tiles = grid([2] * MAX_TILES, columns=64)
    tiles.owned = owned([(2, b"\x02" * 250 + b"\x01")])
    with bounded(steps=50_000, megabytes=4):
        photo = read_photo(tiles.file())
    assert (photo.lean.width, photo.lean.height) == (4096, 4096)


def test_tiles_that_are_each_the_whole_file_are_not_copied() -> None:
    tiles = grid(range(2, 1026), columns=32)
    tiles.places = tiles.places.replace(EXTENT, WHOLE)
    tiles.data = bytes(8_000_000)
    data = tiles.file()
    with bounded(steps=400_000, megabytes=4):
        assert read_photo(data).lean.width == 2048


def test_a_grid_whose_tiles_are_much_larger_than_it_is_refused() -> None:
    tiles = grid([2] * 16, columns=16)
    # 16 x 1 tiles of 64 x 500,000 pixels, of which the picture is the first row.
    tiles.properties = box(b"ispe", struct.pack(">III", 0, 64, 500_000)) + HVCC
    tiles.idat = tiles.idat[:8] + struct.pack(">I", 64)
    with pytest.raises(DamagedPhoto):
        read_photo(tiles.file())


def test_metadata_that_lies_in_one_place_for_all_is_blanked_once() -> None:
    noted = Told(
        kinds=[b"hvc1", *[b"Exif"] * 4000],
        places=places([Placed(1), *(Placed(n, written=WHOLE) for n in range(2, 4002))]),
        data=bytes(20_000_000),
    )
    data = noted.file()
    began = time.process_time()
    assert len(bare(data)) == len(data)
    # Of a hundredth of a second. One by one it would be 80 GB.
    assert time.process_time() - began < 5


NUMBERS = st.sampled_from([0, 1, 2, 3, 32, 33, 255, 4096, 10_000, 65_535]) | st.integers(0, 65_535)
SIZES = st.sampled_from([0, 4, 8]) | st.integers(0, 15)
FEW = st.integers(1, 6)
OFTEN = st.sampled_from([1, 1, 1, 2, 40, 1500])
"""How often a part is there: much of what is dear only is when there is much of it."""


@st.composite
def containers(draw: st.DrawFn) -> bytes:
    """A file each of whose boxes may say anything of how much is in it."""
    some = draw(st.lists(st.sampled_from([ISPE, HVCC, box(b"irot", b"\1"), box(b"free", b"")]), max_size=4))
    entries = st.builds(Placed, FEW, NUMBERS, st.binary(max_size=40), st.sampled_from([0, 0, 1, 2]))
    own = st.tuples(FEW, st.binary(max_size=8) | st.just(b"\x01" * 255))
    refers = st.builds(
        lambda kind, by, to, claimed: reference(kind, by, to, claimed=claimed),
        st.sampled_from([b"dimg", b"cdsc", b"auxl"]),
        FEW,
        st.lists(FEW, max_size=8),
        st.none() | NUMBERS,
    )
    told = draw(st.sampled_from([Told(), grid([2, 3], columns=2), grid([2] * 40, columns=8)]))
    kinds = [*told.kinds, *[draw(st.sampled_from([b"hvc1", b"grid", b"Exif"]))] * draw(OFTEN)]
    told = replace(told, kinds=kinds, properties=told.properties + b"".join(some) * draw(OFTEN))
    if draw(st.booleans()):
        told.places = places(
            draw(st.lists(entries, max_size=5)) * draw(OFTEN),
            sizes=draw(st.tuples(SIZES, SIZES, SIZES)),
            claimed=draw(NUMBERS),
        )
    if draw(st.booleans()):
        told.owned = owned(draw(st.lists(own, max_size=5)) * draw(OFTEN), claimed=draw(NUMBERS))
    if draw(st.booleans()):
        more = b"".join(draw(st.lists(refers, max_size=4))) * draw(OFTEN)
        told.references = (told.references or b"") + more
    return told.file()


@settings(deadline=None, max_examples=80 * TIMES, suppress_health_check=list(HealthCheck))
@given(data=containers())
def test_any_boxes_cost_what_they_weigh(data: bytes) -> None:
    with bounded(steps=50_000 + 20 * len(data), megabytes=3 + 64 * len(data) / 1e6):
        try:
            photo = read_photo(data)
        except PhotoError as error:
            assert error.code
        else:
            assert photo.lean.pixels > 0
    with bounded(steps=50_000 + 40 * len(data), megabytes=3 + 64 * len(data) / 1e6):
        try:
            assert len(bare(data)) == len(data)
        except (PhotoError, UnsupportedFormat) as error:
            assert error.code
