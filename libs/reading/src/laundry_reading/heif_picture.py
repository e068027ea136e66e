"""The picture in a HEIC or AVIF: how large, how turned, and its pixels, tile by tile where it is a grid."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

from PIL import Image

from laundry_reading.errors import TooManyPixels, UnsupportedFormat, damaged
from laundry_reading.exif import UPRIGHT, orientation_of
from laundry_reading.heif import (
    CODECS,
    MAX_TILES,
    Container,
    Item,
    in_full_colour,
    is_deep,
    read_container,
    size_of,
)
from laundry_reading.heif_writer import wrap
from laundry_reading.lean import MOST_PIXELS, Lean, check_pixels

MAX_TILE_PIXELS = {"HEIC": 33_000_000, "AVIF": 20_000_000}
"""Largest picture or tile that is coded as one, which decoders hold whole. More comes as a grid."""

MAX_DEEP_TILE_PIXELS = {"HEIC": 20_000_000, "AVIF": 12_000_000}
"""The same with more than eight bits a channel."""

MAX_RICH_TILE_PIXELS = {"HEIC": 16_000_000, "AVIF": 14_000_000}
"""The same in full colour or with transparency, of which decoders hold twice as much."""

MAX_DEEP_RICH_TILE_PIXELS = {"HEIC": 10_000_000, "AVIF": 10_000_000}
"""The same with both."""

_ROWS = 1_000_000
_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0", b"urn:mpeg:hevc:2015:auxid:1\0")
# How each orientation is made of quarter turns anticlockwise after a mirroring from left to right.
_AS_TURN = {(0, 0): 1, (1, 0): 8, (2, 0): 3, (3, 0): 6, (0, 1): 2, (1, 1): 5, (2, 1): 4, (3, 1): 7}


@dataclass(frozen=True)
class HeifPicture:
    """Tiles in rows; a picture that is no grid is a grid of one."""

    format: str
    container: Container
    main: Item
    tiles: list[Item]
    columns: int
    width: int
    height: int

    @property
    def tile_size(self) -> tuple[int, int]:
        """Width and height of a tile; the last ones may reach beyond the picture."""
        return size_of(self.tiles[0])


def read_heif(data: bytes) -> tuple[Lean, HeifPicture]:
    """Find the picture in a HEIC or AVIF. Its bytes must all be there; nothing is decoded yet.

    Raises:
        PhotoError: cut off, damaged, of another codec, or too large for one tile.
    """
    container = read_container(data)
    main = container.items[container.primary]
    try:
        picture = _picture(container, main)
    except (struct.error, IndexError, KeyError) as error:
        raise damaged() from error
    check_pixels(picture.format, picture.width, picture.height)
    across, down = picture.tile_size
    # One item may be the tile of all places.
    different = list({id(tile): tile for tile in picture.tiles}.values())
    if any(each.kind != different[0].kind or size_of(each) != (across, down) for each in different):
        raise damaged()
    alpha = _alpha(picture)
    _check_tiles(picture, different, alpha)
    for each in different if alpha is None else [*different, alpha]:
        container.places_of(each)
    turn = _orientation(container, main, picture.format)
    lean = Lean(
        picture.format, picture.width, picture.height, data, turn, profile=lambda: _profile(main, picture)
    )
    return lean, picture


def _picture(container: Container, main: Item) -> HeifPicture:
    if main.kind in CODECS:
        return HeifPicture(CODECS[main.kind], container, main, [main], 1, *size_of(main))
    if main.kind != b"grid":
        raise UnsupportedFormat(
            "The photo is in a kind of HEIF that is not taken. Send it as JPEG, HEIC or PNG.",
            format=f"HEIF ({main.kind.decode('latin-1')})",
        )
    told = container.bytes_of(main)
    rows, columns = told[2] + 1, told[3] + 1
    width, height = struct.unpack_from(">II" if told[1] & 1 else ">HH", told, 4)
    numbers = container.referred(b"dimg", container.primary)
    tiles = [container.items[number] for number in numbers]
    if len(tiles) != rows * columns or len(tiles) > MAX_TILES or not width or not height:
        raise damaged()
    if tiles[0].kind not in CODECS:
        raise damaged()
    across, down = size_of(tiles[0])
    if (
        not (columns - 1) * across < width <= columns * across
        or not (rows - 1) * down < height <= rows * down
    ):
        raise damaged()
    return HeifPicture(CODECS[tiles[0].kind], container, main, tiles, columns, width, height)


def _check_tiles(picture: HeifPicture, tiles: list[Item], alpha: Item | None) -> None:
    across, down = picture.tile_size
    deep = any(is_deep(each) for each in tiles)
    rich = alpha is not None or any(in_full_colour(each) for each in tiles)
    if rich:
        limits = MAX_DEEP_RICH_TILE_PIXELS if deep else MAX_RICH_TILE_PIXELS
    else:
        limits = MAX_DEEP_TILE_PIXELS if deep else MAX_TILE_PIXELS
    most = limits[picture.format]
    if across * down > most:
        raise TooManyPixels(
            f"The {picture.format} photo has {across} x {down} pixels in one piece; at most {most:,} can be "
            "read in bounded memory. Choose a lower resolution in the camera, or send it as a JPEG.",
            width=across,
            height=down,
            max_pixels=most,
        )
    # Tiles much larger than the picture would be decoded for nothing.
    if across * down * len(picture.tiles) > 2 * MOST_PIXELS:
        raise damaged()


def _orientation(container: Container, main: Item, kind: str) -> int:
    """What the container says counts. Only a HEIC that says nothing is turned by its EXIF: viewers of AVIF
    ignore that, and where both are written they say the same thing twice.
    """
    quarters, mirrored, told = 0, 0, False
    for each in main.properties:
        if each.kind == b"irot" and each.body:
            quarters, told = (quarters + (each.body[0] & 3)) % 4, True
        elif each.kind == b"imir" and each.body:
            # Mirroring after a turn is turning the other way after mirroring.
            quarters, mirrored, told = -quarters % 4, mirrored ^ 1, True
            if not each.body[0] & 1:
                quarters = (quarters + 2) % 4
    if told:
        return _AS_TURN[quarters, mirrored]
    if kind == "AVIF":
        return UPRIGHT
    for number in container.referring(b"cdsc", container.primary):
        item = container.items.get(number)
        if item is not None and item.kind == b"Exif":
            try:
                exif = container.bytes_of(item)
            except Exception:
                return UPRIGHT
            return orientation_of(exif[4 + int.from_bytes(exif[:4], "big") :])
    return UPRIGHT


def _profile(main: Item, picture: HeifPicture) -> bytes | None:
    for item in (main, picture.tiles[0]):
        for each in item.properties:
            if each.kind == b"colr" and each.body[:4] in (b"prof", b"rICC"):
                return each.body[4:]
    return None


def decode_heif(picture: HeifPicture, least: int) -> Image.Image:
    """Decode it, shrunk by a whole factor so that its shorter side is still at least ``least`` if it can be.

    Raises:
        Exception: a tile cannot be decoded.
    """
    across, down = picture.tile_size
    factor = wanted = max(1, min(picture.width, picture.height) // least)
    if len(picture.tiles) > 1:
        # A block of pixels should not reach into the next tile. Where only much smaller blocks do not, the
        # tiles lie a part of a block off instead, or the picture would stay large.
        fits = next(f for f in range(wanted, 0, -1) if across % f == 0 and down % f == 0)
        factor = fits if 2 * fits > wanted else wanted
    shrunk = None
    for number, tile in enumerate(picture.tiles):
        small = _decode_tile(picture, tile, factor)
        if shrunk is None:
            size = (-(-picture.width // factor), -(-picture.height // factor))
            shrunk = Image.new(small.mode, size)
        row, column = divmod(number, picture.columns)
        shrunk.paste(small.convert(shrunk.mode), (-(-column * across // factor), -(-row * down // factor)))
    if shrunk is None:
        raise damaged()
    return shrunk


def _decode_tile(picture: HeifPicture, tile: Item, factor: int) -> Image.Image:
    container, alpha = picture.container, _alpha(picture)
    with_it = None if alpha is None else (alpha, container.bytes_of(alpha))
    data = wrap(tile, container.bytes_of(tile), alpha=with_it)
    return _decode_av1(data, factor) if picture.format == "AVIF" else _decode_hevc(data, factor)


def _alpha(picture: HeifPicture) -> Item | None:
    if len(picture.tiles) > 1:
        return None
    container = picture.container
    for number in container.referring(b"auxl", container.primary):
        item = container.items.get(number)
        told = item.find(b"auxC") if item is not None else None
        if item is not None and told is not None and told.body[4:].startswith(_ALPHA) and item.kind in CODECS:
            return item
    return None


def _decode_av1(data: bytes, factor: int) -> Image.Image:
    from PIL import AvifImagePlugin  # noqa: PLC0415 - seldom needed

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    with Image.open(io.BytesIO(data), formats=("AVIF",)) as image:
        image.load()
        return image.reduce(factor) if factor > 1 else image.copy()


def _decode_hevc(data: bytes, factor: int) -> Image.Image:
    import pillow_heif  # noqa: PLC0415 - seldom needed

    for name in ("THUMBNAILS", "DEPTH_IMAGES", "AUX_IMAGES"):
        setattr(pillow_heif.options, name, False)
    pillow_heif.options.DECODE_THREADS = 1
    whole: Any = pillow_heif.open_heif(data)[0]
    pixels = memoryview(whole.data)
    mode, (width, height), stride = whole.mode, whole.size, whole.stride
    kept = "RGBA" if mode in ("RGBA", "RGBa") else "L" if mode == "L" else "RGB"
    shrunk = Image.new(kept, (-(-width // factor), -(-height // factor)))
    # Strip by strip: a Pillow picture of the whole would take as much again as all that is decoded.
    rows = factor * max(1, _ROWS // (width * factor))
    for top in range(0, height, rows):
        high = min(rows, height - top)
        strip = Image.frombytes(
            kept, (width, high), pixels[top * stride : (top + high) * stride], "raw", mode, stride
        )
        shrunk.paste(strip.reduce(factor) if factor > 1 else strip, (0, top // factor))
    return shrunk
