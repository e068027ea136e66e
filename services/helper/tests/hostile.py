"""Photos of a few kilobytes that would cost a service hundreds of megabytes, or minutes."""

import io
import struct

from PIL import Image


def long_and_narrow() -> bytes:
    """Make a PNG of 43 megapixels, of which a reader would have to hold all: it has no side to spare."""
    file = io.BytesIO()
    Image.new("L", (100_000, 431), 90).save(file, "PNG", compress_level=1)
    return file.getvalue()


def extents_without_bytes() -> bytes:
    """Make a HEIC that says of each of 40 items that it has 65,535 pieces, in no byte each."""
    entries = b"".join(
        _box(b"infe", struct.pack(">IHH4sx", 0x02000000, number, 0, b"hvc1")) for number in range(1, 41)
    )
    places = b"".join(struct.pack(">HHH", number, 0, 65_535) for number in range(1, 41))
    parts = [
        _box(b"pitm", struct.pack(">IH", 0, 1)),
        _box(b"iinf", struct.pack(">IH", 0, 40) + entries),
        _box(b"iprp", _box(b"ipco", b"") + _box(b"ipma", bytes(8))),
        _box(b"iloc", struct.pack(">IBBH", 0, 0, 0, 40) + places),
    ]
    ftyp = _box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    return ftyp + _box(b"meta", bytes(4) + b"".join(parts))


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body
