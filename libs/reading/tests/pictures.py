"""Pictures made for the tests: no photo of anybody is needed."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

from laundry_reading.heif import read_container


def scene(width: int, height: int) -> Image.Image:
    """A picture without symmetry: a colour ramp with a dark block in one corner and a light one beside it."""
    across = np.linspace(0, 1, width)[np.newaxis, :]
    down = np.linspace(0, 1, height)[:, np.newaxis]
    pixels = np.stack(
        [200 * across + 0 * down + 20, 200 * down + 0 * across + 20, 120 * (1 - across) * down + 60], axis=-1
    )
    pixels[: max(1, height // 3), : max(1, width // 4)] = (15, 25, 60)
    pixels[: max(1, height // 5), width // 2 : width // 2 + max(1, width // 4)] = (240, 230, 90)
    return Image.fromarray(pixels.round().astype(np.uint8))


def half_transparent(image: Image.Image) -> Image.Image:
    """The picture without its left half."""
    clear = image.convert("RGBA")
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, image.width // 2, image.height))
    clear.putalpha(alpha)
    return clear


def enlarged(width: int, height: int) -> Image.Image:
    """A picture of large blocks, which takes little to code."""
    return scene(100, 75).resize((width, height), Image.Resampling.NEAREST)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The picture as a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A few hundred bytes of PNG whose header promises any size."""
    return _png(width, height, depth=8, colour=2, rows=b"\0" * 1000)


def deep_png(shades: np.ndarray) -> bytes:
    """A PNG of sixteen bits a channel, which Pillow reads but does not write.

    Args:
        shades: uint16 [height, width, channels]; of gray, gray and alpha, RGB, or RGB and alpha.
    """
    height, width, channels = shades.shape
    rows = np.zeros((height, 1 + 2 * width * channels), dtype=np.uint8)  # each begins with its filter: none
    rows[:, 1:] = shades.astype(">u2").reshape(height, -1).view(np.uint8)
    return _png(width, height, depth=16, colour={1: 0, 2: 4, 3: 2, 4: 6}[channels], rows=rows.tobytes())


def _png(width: int, height: int, *, depth: int, colour: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def chunk(kind: bytes, body: bytes, *, crc: int | None = None) -> bytes:
    """A chunk of a PNG; with another checksum if one is given."""
    found = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", found)


def segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(body)) + body


def box(kind: bytes, body: bytes) -> bytes:
    """A box of an ISO file."""
    return struct.pack(">I", 8 + len(body)) + kind + body


def heic(image: Image.Image, *, orientation: int | None = None, **options: Any) -> bytes:
    """The picture as a HEIC, or with ``kind="AVIF"`` as one."""
    pillow_heif.register_heif_opener()
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif.tobytes()
    # What else is asked for is written into the parameters, which are shared.
    options["enc_params"] = dict(options.get("enc_params", {}))
    return encode(image, options.pop("kind", "HEIF"), **({"quality": 90} | options))


QUICK: dict[str, Any] = {"quality": 40, "enc_params": {"preset": "ultrafast"}}
"""How a large HEIC is coded, where only its size counts."""


def deep_heic(image: Image.Image, **options: Any) -> bytes:
    """The picture as a HEIC of ten bits a channel."""
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    deep = np.asarray(image.convert(mode)).astype(np.uint16) * 257
    buffer = io.BytesIO()
    file = pillow_heif.from_bytes(mode=f"{mode};16", size=image.size, data=deep.tobytes())
    file.save(buffer, **({"quality": 90} | options))
    return buffer.getvalue()


def jpeg_of_rows(width: int, height: int) -> bytes:
    """A baseline JPEG of any height: one row of blocks between two restart marks, again and again."""
    row = encode(scene(width, 16), "JPEG", restart_marker_rows=1)
    frame, scan = row.index(b"\xff\xc0"), row.index(b"\xff\xda")
    head = row[: frame + 5] + height.to_bytes(2, "big") + row[frame + 7 : scan + 14]
    blocks = row[scan + 14 : -2]
    rows = -(-height // 16)
    marks = [bytes([0xFF, 0xD0 + number % 8]) for number in range(rows - 1)]
    return head + blocks + b"".join(mark + blocks for mark in marks) + b"\xff\xd9"


COLOURS = {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}
# Where each pass of an interlaced PNG begins, and how far its columns and rows are apart.
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png_of_rows(
    width: int, height: int, *, mode: str = "RGB", depth: int = 8, interlaced: bool = False
) -> bytes:
    """A PNG of any height from one row."""
    row = np.asarray(scene(min(width, 16_384), 16).convert(mode))[:1].reshape(-1, len(mode))
    row = np.resize(row, (width, len(mode)))
    if mode.endswith("A"):
        row[: width // 3, -1] = 99
    deep = row if depth == 8 else (row.astype(">u2") * 257).astype(">u2")
    packer = zlib.compressobj(1)
    packed = []
    for left, top, apart, between in PASSES if interlaced else [(0, 0, 1, 1)]:
        line = b"\0" + deep[left::apart].tobytes()
        packed += [packer.compress(line) for _ in range(top, height, between)]
    header = struct.pack(">IIBBBBB", width, height, depth, COLOURS[mode], 0, 0, interlaced)
    body = chunk(b"IDAT", b"".join(packed) + packer.flush())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def heic_of_tiles(columns: int, rows: int, *, tile: tuple[int, int]) -> bytes:
    """A HEIC of any size from one coded tile, which is in all its places."""
    picture = scene(tile[0] // 8, tile[1] // 8).resize(tile)
    coded = heic(picture, quality=40, enc_params={"preset": "ultrafast"})
    if columns * rows == 1:
        return coded
    container = read_container(coded)
    item = container.items[container.primary]
    data = container.bytes_of(item)
    width, height = columns * tile[0], rows * tile[1]
    grid = struct.pack(">BBBBII", 0, 1, rows - 1, columns - 1, width, height)
    numbers = range(2, 2 + columns * rows)
    needed = [each.box for each in item.properties if each.kind in (b"ispe", b"hvcC", b"pixi")]
    canvas = box(b"ispe", struct.pack(">III", 0, width, height))
    owned = struct.pack(">HBB", 1, 1, 1 + len(needed))
    owned += b"".join(
        struct.pack(">HB", number, len(needed)) + bytes(range(1, 1 + len(needed))) for number in numbers
    )
    entries = box(b"infe", struct.pack(">IHH4sx", 0x02000000, 1, 0, b"grid"))
    entries += b"".join(box(b"infe", struct.pack(">IHH4sx", 0x02000001, n, 0, b"hvc1")) for n in numbers)
    tiles = b"".join(struct.pack(">H", number) for number in numbers)
    references = box(b"dimg", struct.pack(">HH", 1, len(numbers)) + tiles)
    ftyp = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")

    def meta(start: int) -> bytes:
        places = struct.pack(">HHHII", 1, 0, 1, start, len(grid))
        places += b"".join(struct.pack(">HHHII", n, 0, 1, start + len(grid), len(data)) for n in numbers)
        return box(
            b"meta",
            bytes(4)
            + box(b"hdlr", bytes(8) + b"pict" + bytes(13))
            + box(b"pitm", struct.pack(">IH", 0, 1))
            + box(b"iinf", struct.pack(">IH", 0, 1 + len(numbers)) + entries)
            + box(
                b"iprp",
                box(b"ipco", b"".join(needed) + canvas)
                + box(b"ipma", struct.pack(">II", 0, 1 + len(numbers)) + owned),
            )
            + box(b"iref", bytes(4) + references)
            + box(b"iloc", struct.pack(">IBBH", 0, 0x44, 0, 1 + len(numbers)) + places),
        )

    return ftyp + meta(len(ftyp) + len(meta(0)) + 8) + box(b"mdat", grid + data)
