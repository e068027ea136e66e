"""What the model sees of every kind of photo."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from laundry_reading.photo import DamagedPhoto, EmptyPhoto, PhotoError, TooManyPixels, TruncatedPhoto
from laundry_reading.preprocess import decode_for_model

from .pictures import deep_png, encode, png_that_claims, scene

SIZE = 112
# How a camera held each way stores an upright scene: the inverse of what the orientation tells to do.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", sorted(STORED))
def test_eight_ways_of_holding_the_camera_give_one_picture(orientation: int, kind: str) -> None:
    upright = scene(1203, 900)
    turn = STORED[orientation]
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = (
        {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {"compress_level": 1}
    )
    seen = decode_for_model(encode(stored, kind, exif=exif, **options), SIZE)
    expected = decode_for_model(encode(upright, "PNG", compress_level=1), SIZE)
    assert distance(seen, expected) < 2


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_means_nothing_is_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = encode(scene(300, 200), "JPEG", exif=exif)
    assert np.array_equal(
        decode_for_model(photo, SIZE), decode_for_model(encode(scene(300, 200), "JPEG"), SIZE)
    )


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_does_not_cost_the_photo() -> None:
    plain = encode(scene(300, 200), "JPEG")
    broken = b"\xff\xe1\x00\x20Exif\0\0MM\0*\xff\xff\xff\xff" + bytes(16)
    assert np.array_equal(
        decode_for_model(plain[:2] + broken + plain[2:], SIZE), decode_for_model(plain, SIZE)
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (1600, 1200), (113, 111)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_shape_becomes_the_square(size: tuple[int, int], kind: str) -> None:
    seen = decode_for_model(encode(scene(*size), kind), SIZE)
    assert seen.shape == (SIZE, SIZE, 3)
    assert seen.dtype == np.uint8


@settings(deadline=None, max_examples=60)
@given(
    colour=st.tuples(*[st.integers(0, 255)] * 3),
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    how=st.sampled_from(["JPEG RGB", "JPEG CMYK", "PNG RGB", "PNG RGBA", "PNG P", "WEBP RGB", "WEBP RGBA"]),
)
def test_a_plain_colour_stays_that_colour_in_every_encoding(
    colour: tuple[int, int, int], width: int, height: int, how: str
) -> None:
    kind, mode = how.split()
    image = Image.new("RGB", (width, height), colour)
    image = image.quantize() if mode == "P" else image.convert(mode)
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    seen = decode_for_model(encode(image, kind, **options), SIZE)
    assert np.abs(seen.astype(int) - np.array(colour)).max() <= 6


@settings(deadline=None, max_examples=40)
@given(level=st.integers(0, 255), how=st.sampled_from(["JPEG L", "PNG L", "PNG LA", "PNG I;16", "PNG 1"]))
def test_gray_of_any_depth_keeps_its_brightness(level: int, how: str) -> None:
    kind, mode = how.split()
    if mode == "I;16":
        image = Image.fromarray(np.full((20, 30), level * 257, dtype=np.uint16))
    elif mode == "1":
        level = 255 if level > 127 else 0
        image = Image.new("1", (30, 20), level)
    else:
        image = Image.new("L", (30, 20), level).convert(mode)
    seen = decode_for_model(encode(image, kind), SIZE)
    assert np.abs(seen.astype(int) - level).max() <= 2


def test_sixteen_bit_shades_are_kept_apart() -> None:
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (100, 1))
    seen = decode_for_model(encode(Image.fromarray(ramp), "PNG"), SIZE)
    row = seen[50, :, 0].astype(int)
    assert (np.diff(row) >= 0).all()
    assert row[0] <= 3
    assert row[-1] >= 252


@pytest.mark.parametrize("shape", [(300, 200), (1203, 900)])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_png_shows_its_picture_on_white_in_every_depth(
    depth: int, mode: str, shape: tuple[int, int]
) -> None:
    photo = scene(*shape).convert(mode.removesuffix("A"))
    shades = np.asarray(photo).reshape(shape[1], shape[0], -1)
    seen_through = np.ones((shape[1], shape[0], 1))
    if mode.endswith("A"):
        alpha = np.linspace(0, 255, shape[1]).astype(np.uint8)[:, np.newaxis, np.newaxis]
        alpha = np.broadcast_to(alpha, seen_through.shape)
        seen_through = alpha / 255
        stored = np.concatenate([shades, alpha], axis=2)
    else:
        stored = shades
    if depth == 8:
        data = encode(Image.fromarray(stored.squeeze()), "PNG", compress_level=1)
    else:
        # What the low bytes say is less than a step of the eight bits that are seen.
        low = np.random.default_rng(5).integers(0, 256, stored.shape, dtype=np.uint16)
        data = deep_png(stored.astype(np.uint16) * 256 + low)
    seen = decode_for_model(data, SIZE)
    assert seen.shape == (SIZE, SIZE, 3)
    assert seen.dtype == np.uint8
    on_white = np.broadcast_to(shades * seen_through + 255 * (1 - seen_through), (*shades.shape[:2], 3))
    plain = Image.fromarray(on_white.round().astype(np.uint8))
    assert distance(seen, decode_for_model(encode(plain, "PNG", compress_level=1), SIZE)) < 1.5


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "I;16"])
def test_a_big_picture_is_shrunk_in_strips_without_a_seam(mode: str) -> None:
    photo = scene(2500, 1700).convert("L")
    if mode == "I;16":
        stored = Image.fromarray(np.asarray(photo).astype(np.uint16) * 257)
    else:
        stored = photo.quantize(256) if mode == "P" else photo.convert(mode)
    seen = decode_for_model(encode(stored, "PNG", compress_level=1), SIZE)
    plain = photo.convert("1") if mode == "1" else photo
    expected = np.asarray(plain.convert("L").resize((SIZE, SIZE), Image.Resampling.BOX).convert("RGB"))
    assert distance(seen, expected) < 3


def test_what_is_transparent_lies_on_white() -> None:
    image = scene(200, 200).convert("RGBA")
    image.putalpha(Image.new("L", (200, 200), 0))
    assert (decode_for_model(encode(image, "PNG"), SIZE) == 255).all()
    palette = Image.new("P", (50, 50), 0)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    assert (decode_for_model(encode(palette, "PNG", transparency=0), SIZE) == 255).all()
    keyed = Image.new("RGB", (50, 50), (1, 2, 3))
    assert (decode_for_model(encode(keyed, "PNG", transparency=(1, 2, 3)), SIZE) == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_read_by_its_first_frame(kind: str) -> None:
    first, second = scene(90, 80), Image.new("RGB", (90, 80), (255, 0, 0))
    options = {"lossless": True} if kind == "WEBP" else {}
    moving = encode(first, kind, save_all=True, append_images=[second], duration=100, **options)
    assert distance(decode_for_model(moving, SIZE), decode_for_model(encode(first, "PNG"), SIZE)) < 1


def test_progressive_and_baseline_agree() -> None:
    photo = scene(1500, 1000)
    assert np.array_equal(
        decode_for_model(encode(photo, "JPEG", progressive=True), SIZE),
        decode_for_model(encode(photo, "JPEG"), SIZE),
    )


def test_the_shortcut_through_a_small_jpeg_scale_shows_the_same_picture() -> None:
    photo = scene(4000, 3000)
    data = encode(photo, "JPEG", quality=92)
    in_full = np.asarray(
        Image.open(io.BytesIO(data)).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    )
    assert distance(decode_for_model(data, SIZE), in_full) < 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_cut_photo_is_an_error_and_never_half_a_picture(kind: str) -> None:
    whole = encode(scene(400, 300), kind)
    for share in (0.02, 0.3, 0.6, 0.9):
        with pytest.raises(TruncatedPhoto):
            decode_for_model(whole[: int(len(whole) * share)], SIZE)


def test_bombs_and_nothing_are_refused() -> None:
    with pytest.raises(TooManyPixels):
        decode_for_model(png_that_claims(50_000, 50_000), SIZE)
    with pytest.raises(EmptyPhoto):
        decode_for_model(b"", SIZE)


@settings(deadline=None, max_examples=150)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP"]),
    damage=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12
    ),
)
def test_damaged_bytes_give_a_picture_or_a_photo_error(kind: str, damage: list[tuple[float, int]]) -> None:
    data = bytearray(encode(scene(64, 48), kind))
    for where, value in damage:
        data[int(where * len(data))] = value
    try:
        assert decode_for_model(bytes(data), SIZE).shape == (SIZE, SIZE, 3)
    except PhotoError as error:
        assert error.code


def test_a_png_whose_pixels_do_not_unpack_is_an_error_and_no_black_picture() -> None:
    whole = encode(scene(400, 300), "PNG")
    start = whole.index(b"IDAT") + 4
    with pytest.raises(DamagedPhoto):
        decode_for_model(whole[:start] + b"\0\0" + whole[start + 2 :], 32)
