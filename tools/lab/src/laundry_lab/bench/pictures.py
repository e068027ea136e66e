"""Photos of one size whose bytes never repeat, so that none is taken for a duplicate."""

import io
import secrets
from dataclasses import dataclass

from PIL import Image

from laundry.demo.photos import GARMENTS, JPEG_COMMENT, UNIQUE_BYTES, draw_garment

BYTES = 500_000
QUALITIES = range(100, 4, -1)
SEGMENT = 65_533
JPEG_START = b"\xff\xd8"


@dataclass(frozen=True)
class Kind:
    """How large photos are: bytes, and pixels as a phone has them."""

    name: str
    bytes: int
    pixels: tuple[int, int]
    drawn: int


SMALL = Kind("20 KB", 20_000, (640, 480), 6)
PHONE = Kind("500 KB", BYTES, (1600, 1200), 6)
LARGE = Kind("2 MB", 2_000_000, (4000, 3000), 2)


class Pictures:
    """A few drawn garments; each photo is one of them with random bytes in its JPEG comments."""

    def __init__(self, kind: Kind = PHONE) -> None:
        """Draw them: a second or two."""
        labels = list(GARMENTS)
        self.kind = kind
        self._drawn = [
            _below(draw_garment(labels[n % len(labels)], seed=n), kind.bytes - kind.bytes // 200, kind.pixels)
            for n in range(kind.drawn)
        ]
        self._next = 0

    def photo(self) -> bytes:
        """Return a new photo of exactly the kind's bytes."""
        drawn = self._drawn[self._next % len(self._drawn)]
        self._next += 1
        room = self.kind.bytes - len(drawn)
        comments = bytearray()
        while room > 0:
            # A segment is its marker, its length and at least one byte; never leave less than that over.
            size = room if room <= SEGMENT else min(SEGMENT, room - 5)
            comments += JPEG_COMMENT + (size - 2).to_bytes(2)
            comments += secrets.token_bytes(min(UNIQUE_BYTES, size - 4)) + bytes(
                max(0, size - 4 - UNIQUE_BYTES)
            )
            room -= size
        return JPEG_START + bytes(comments) + drawn[len(JPEG_START) :]


def _below(photo: bytes, limit: int, pixels: tuple[int, int]) -> bytes:
    """Encode a picture as large as the limit allows, so that its bytes are image data rather than padding."""
    with Image.open(io.BytesIO(photo)) as image:
        image.load()
        sized = image if image.size == pixels else image.resize(pixels, Image.Resampling.BICUBIC)
        low, high = 0, len(QUALITIES) - 1
        best = b""
        while low <= high:
            middle = (low + high) // 2
            buffer = io.BytesIO()
            sized.save(buffer, "JPEG", quality=QUALITIES[middle])
            if buffer.tell() <= limit:
                best, high = buffer.getvalue(), middle - 1
            else:
                low = middle + 1
    if not best:
        raise ValueError(f"no quality brings the picture below {limit} bytes")
    return best


def multipart(photo: bytes, branch_id: str) -> tuple[bytes, str]:
    """Return an upload's body and its content type."""
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="branch_id"\r\n\r\n{branch_id}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="photo"; filename="load.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = head.encode() + photo + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


def small_photos() -> list[bytes]:
    """Draw one photo of about 20 KB for each garment, so that ten thousand fit on the disk."""
    drawn = []
    for label in GARMENTS:
        with Image.open(io.BytesIO(draw_garment(label, seed=1))) as image:
            buffer = io.BytesIO()
            image.resize((640, 480)).save(buffer, "JPEG", quality=75)
            drawn.append(buffer.getvalue())
    return drawn
