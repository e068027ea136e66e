"""Photos of one size whose bytes never repeat: nothing is recognised as sent before."""

import io
import secrets

from PIL import Image

from laundry.demo.photos import GARMENTS, draw_garment

BYTES = 500_000
KINDS = 6
QUALITIES = range(100, 70, -1)
UNIQUE = 16
SEGMENT = 65_533
JPEG_START = b"\xff\xd8"
COMMENT = b"\xff\xfe"


class Pictures:
    """A few drawn garments; each photo is one of them with random bytes in its JPEG comments."""

    def __init__(self) -> None:
        """Draw them: about a second."""
        labels = list(GARMENTS)
        self._drawn = [
            _below(draw_garment(labels[n % len(labels)], seed=n), BYTES - 2000) for n in range(KINDS)
        ]
        self._next = 0

    def photo(self) -> bytes:
        """Return a new photo of exactly ``BYTES`` bytes."""
        drawn = self._drawn[self._next % KINDS]
        self._next += 1
        room = BYTES - len(drawn)
        comments = bytearray()
        while room > 0:
            # A segment is its marker, its length and at least one byte; never leave less than that over.
            size = room if room <= SEGMENT else min(SEGMENT, room - 5)
            comments += COMMENT + (size - 2).to_bytes(2)
            comments += secrets.token_bytes(min(UNIQUE, size - 4)) + bytes(max(0, size - 4 - UNIQUE))
            room -= size
        return JPEG_START + bytes(comments) + drawn[len(JPEG_START) :]


def _below(photo: bytes, limit: int) -> bytes:
    """Store a picture as large as the limit allows."""
    with Image.open(io.BytesIO(photo)) as image:
        image.load()
        for quality in QUALITIES:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=quality)
            if buffer.tell() <= limit:
                return buffer.getvalue()
    raise ValueError(f"no quality brings the picture below {limit} bytes")


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


def unique(photo: bytes) -> bytes:
    """Return the same picture in bytes that nobody sent before."""
    mark = secrets.token_bytes(UNIQUE)
    return photo[:2] + COMMENT + (len(mark) + 2).to_bytes(2) + mark + photo[2:]
