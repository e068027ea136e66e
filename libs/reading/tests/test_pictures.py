"""Pictures for showing: small, upright, and nothing but the picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from laundry_reading.photo import PhotoError
from laundry_reading.pictures import DISPLAY_PX, THUMBNAIL_PX, Made, make_pictures

from .pictures import encode, heic, scene, segment
from .test_preprocess import STORED

SECRETS = (b"SERIAL-0815", b"N 37 33", b"MotionPhoto", b"mp42")


def told(photo: bytes) -> bytes:
    """The photo with a position, a serial number, a preview and a clip in it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "SERIAL-0815"
    exif.get_ifd(0x8825)[1] = "N 37 33"
    parts = [
        segment(0xE1, exif.tobytes()),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0MotionPhoto"),
    ]
    parts += [segment(0xE2, b"MPF\0SERIAL-0815"), segment(0xFE, b"N 37 33")]
    return photo[:2] + b"".join(parts) + photo[2:] + b"\0\0\0\x18ftypmp42" + b"SERIAL-0815" * 90


def opened(made: Made) -> Image.Image:
    image = Image.open(io.BytesIO(made.data))
    image.load()
    return image


def upright(made: Made) -> Image.Image:
    return ImageOps.exif_transpose(opened(made)).convert("RGB")


def colour(made: Made) -> tuple[int, ...]:
    """Red, green and blue near the upper left corner."""
    found = upright(made).getpixel((50, 50))
    assert isinstance(found, tuple)
    return found


@pytest.mark.parametrize("size", [(400, 300), (1600, 1200), (4000, 3000), (900, 4000)])
def test_nothing_of_the_file_gets_into_them_but_the_picture(size: tuple[int, int]) -> None:
    made = make_pictures(told(encode(scene(*size), "JPEG", quality=85)))
    for each in (made.display, made.thumbnail):
        assert not [secret for secret in SECRETS if secret in each.data]
        found = dict(opened(each).getexif())
        assert found in ({}, {0x0112: 6})
        assert each.data.startswith(b"\xff\xd8")
        assert each.data.endswith(b"\xff\xd9")
        assert upright(each).size == (each.width, each.height)
        # Upright it stands on its side.
        assert (each.width < each.height) is (size[0] > size[1])
    assert max(made.display.width, made.display.height) == min(DISPLAY_PX, max(size))
    assert max(made.thumbnail.width, made.thumbnail.height) == min(THUMBNAIL_PX, max(size))


@pytest.mark.parametrize("orientation", sorted(STORED))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF", "AVIF"])
def test_they_are_upright(kind: str, orientation: int) -> None:
    scenery = scene(640, 480)
    turn = STORED[orientation]
    stored = scenery if turn is None else scenery.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = (
        heic(stored, kind=kind, orientation=orientation)
        if kind in ("HEIF", "AVIF")
        else encode(stored, kind, exif=exif)
    )
    made = make_pictures(photo)
    for each in (made.display, made.thumbnail):
        expected = np.asarray(scenery.resize((each.width, each.height), Image.Resampling.BICUBIC)).astype(int)
        assert np.abs(np.asarray(upright(each)) - expected).mean() < 4


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "HEIF"])
def test_what_no_browser_or_slow_line_shows_is_a_small_jpeg(kind: str) -> None:
    picture = scene(2500, 1900)
    made = make_pictures(heic(picture) if kind == "HEIF" else encode(picture, kind))
    assert (made.display.width, made.display.height) == (1600, 1216)
    assert len(made.display.data) < 300_000
    assert len(made.thumbnail.data) < 20_000


def test_transparent_lies_on_white_and_deep_gray_keeps_its_shades() -> None:
    clear = Image.new("RGBA", (300, 200), (10, 20, 30, 0))
    assert np.asarray(upright(make_pictures(encode(clear, "PNG")).display)).min() > 250
    gray = Image.fromarray(np.full((200, 300), 128 * 257, dtype=np.uint16))
    assert (
        np.abs(np.asarray(upright(make_pictures(encode(gray, "PNG")).display)).astype(int) - 128).max() <= 2
    )


def profile(red: tuple[float, float]) -> bytes:
    """An ICC profile whose red is elsewhere: sRGB's own with another red primary."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert b"s\0R\0G\0B" in data
    data = bytearray(bytes(data).replace(b"sRGB", b"wide").replace(b"s\0R\0G\0B", b"w\0i\0d\0e"))
    place = data.index(b"rXYZ")
    at = int.from_bytes(data[place + 4 : place + 8], "big")
    for number, value in enumerate(red):
        data[at + 8 + 4 * number : at + 12 + 4 * number] = round(value * 65536).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_wide_colours_are_brought_into_srgb(kind: str) -> None:
    # Display P3's red, adapted to D50, is far outside sRGB: what it calls (200, 90, 90) is redder there.
    wide = profile((0.5151, 0.2412))
    image = Image.new("RGB", (400, 300), (200, 90, 90))
    photo = heic(image, icc_profile=wide) if kind == "HEIF" else encode(image, kind, icc_profile=wide)
    made = make_pictures(photo)
    for each in (made.display, made.thumbnail):
        assert "icc_profile" not in opened(each).info
        red, green, _ = colour(each)
        assert red > 205
        assert green < 95
    broken = make_pictures(encode(image, "PNG", icc_profile=b"nothing" * 30)) if kind == "PNG" else None
    assert broken is None or abs(colour(broken.display)[0] - 200) < 4


def test_gray_with_a_profile_for_colours_is_shown() -> None:
    photo = encode(Image.new("L", (400, 300), 99), "JPEG", icc_profile=profile((0.5, 0.24)))
    assert abs(colour(make_pictures(photo).display)[0] - 99) < 4


def test_what_cannot_be_decoded_has_none() -> None:
    with pytest.raises(PhotoError):
        make_pictures(b"hello")
    png = encode(scene(400, 300), "PNG")
    start = png.index(b"IDAT") + 4
    with pytest.raises(PhotoError):
        make_pictures(png[:start] + b"\0\0" + png[start + 2 :])
