"""A photo's file without what it tells: the same picture, and no place, camera or name in it."""

import io
from collections.abc import Callable
from typing import Any

import pillow_heif
import pytest
from PIL import Image, ImageChops, ImageCms

from laundry_reading.bare import bare
from laundry_reading.errors import PhotoError

TOLD = (b"SERIAL-0815", b"Minji Kim", b"N 37 33", b"home sweet home", b"mp42 clip")
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112], found[0xA431], found[0x013B] = orientation, "SERIAL-0815", "Minji Kim"
    found.get_ifd(0x8825)[1] = "N 37 33"
    return found


def photo(kind: str, orientation: int = 1, **save: Any) -> bytes:
    file = io.BytesIO()
    image = Image.effect_noise((320, 240), 60).convert("RGB")
    if kind == "HEIF":
        pillow_heif.register_heif_opener()
        save |= {"xmp": b"<x>home sweet home</x>"}
    image.save(file, kind, exif=exif(orientation), icc_profile=PROFILE, **save)
    return file.getvalue()


CASES: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: photo("JPEG", comment=b"home sweet home") + b"ftypmp42 clip",
    "turned": lambda: photo("JPEG", 6),
    "progressive": lambda: photo("JPEG", 3, progressive=True) + b"mp42 clip",
    "PNG": lambda: photo("PNG", 8),
    "WebP": lambda: photo("WEBP", quality=80),
    "HEIC": lambda: photo("HEIF"),
}


@pytest.mark.parametrize("kind", CASES)
def test_the_picture_stays_and_nothing_else(kind: str) -> None:
    data = CASES[kind]()
    assert any(word in data for word in TOLD)
    without = bare(data)
    assert not [word for word in TOLD if word in without]
    before, after = (Image.open(io.BytesIO(each)) for each in (data, without))
    assert (after.format, after.size) == (before.format, before.size)
    assert ImageChops.difference(before.convert("RGB"), after.convert("RGB")).getbbox() is None
    assert after.getexif().get(0x0112, 1) == before.getexif().get(0x0112, 1)
    assert set(after.getexif()) <= {0x0112}
    assert bare(without) == without


@pytest.mark.parametrize("kind", ["JPEG", "turned", "progressive", "PNG"])
def test_its_colours_stay(kind: str) -> None:
    assert Image.open(io.BytesIO(bare(CASES[kind]()))).info["icc_profile"] == PROFILE


def test_what_is_no_photo_is_refused() -> None:
    for data in (b"", b"hello", CASES["JPEG"]()[:200]):
        with pytest.raises(PhotoError):
            bare(data)
