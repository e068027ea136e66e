"""The process beside a helper that decodes photos: what one may take of it, and what it leaves the next."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from laundry_reading.photo import MAX_BYTES, MAX_PIXELS
from laundry_reading.worker import READY, message

from .pictures import QUICK, encode, enlarged, half_transparent, heic, png_of_rows


def answers(orders: Sequence[tuple[bytes, str]]) -> list[dict[str, Any]]:
    """What one worker says, one after the other, to photos and what is to be done with them."""
    limits = {"max_bytes": MAX_BYTES, "max_pixels": MAX_PIXELS}
    asked = b"".join(message({"do": do, **limits}, photo) for photo, do in orders)
    command = [sys.executable, "-m", "laundry_reading.worker"]
    said = subprocess.run(command, input=asked, capture_output=True, timeout=240, check=True).stdout
    told: list[dict[str, Any]] = []
    at = len(READY)
    while at < len(said):
        (size,) = struct.unpack_from(">I", said, at)
        told.append(json.loads(said[at + 4 : at + 4 + size]))
        at += 4 + size + sum(told[-1]["parts"])
    return told


LARGE: list[Callable[[], bytes]] = [
    lambda: png_of_rows(6320, 4740, mode="RGBA"),
    lambda: encode(half_transparent(enlarged(4000, 3000)), "WEBP", method=0),
    lambda: heic(enlarged(6600, 4950), **QUICK),
    lambda: encode(enlarged(5160, 3870), "AVIF", speed=10, quality=40),
    lambda: encode(enlarged(6490, 4867), "JPEG", progressive=True, subsampling=0),
    lambda: png_of_rows(16_320, 12_240, mode="RGBA"),
]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited by Linux")
def test_what_a_photo_took_is_there_again_for_the_next() -> None:
    photos = [make() for make in LARGE]
    orders = [(photo, do) for photo in photos for do in ("check", "pictures")]
    told = answers(orders + orders)
    assert [each.get("error") for each in told] == [None] * 4 * len(photos)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited by Linux")
def test_a_photo_that_hides_what_it_weighs_is_not_taken() -> None:
    photo = bytearray(heic(enlarged(6600, 4950), chroma=444, **QUICK))
    at = photo.index(b"hvcC") + 4
    assert photo[at + 16] & 3 == 3
    photo[at + 16] &= 0xFD
    check, after = answers([(bytes(photo), "check"), (heic(enlarged(640, 480)), "check")])
    assert check["error"] in ("DamagedPhoto", "TooManyPixels")
    assert after["info"]["width"] == 640


def test_what_is_to_be_read_is_within_the_limits_of_whoever_asks() -> None:
    photo = encode(enlarged(640, 480), "PNG")
    told = answers([(photo, "readable"), (photo + bytes(MAX_BYTES), "readable"), (photo, "check")])
    assert [each.get("error") for each in told] == [None, "TooManyBytes", None]
