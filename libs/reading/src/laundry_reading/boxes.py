"""The boxes of an ISO file (14496-12) and the numbers in them: what is read of a box, it holds."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from laundry_reading.errors import damaged

Place = tuple[int, int]
"""Where something begins and where it ends."""

_MOST = 20_000
"""In one box. Each takes eight bytes of the file and many times that once it is read; phones write some."""


def boxes(data: bytes, position: int, end: int) -> Iterator[tuple[bytes, Place]]:
    """Yield each box's kind with where its body begins and should end.

    Raises:
        DamagedPhoto: there are more than in any picture.
    """
    number = 0
    while position + 8 <= min(end, len(data)):
        number += 1
        if number > _MOST:
            raise damaged()
        size, kind = struct.unpack_from(">I4s", data, position)
        head = 8
        if size == 1 and position + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, position + 8)
            head = 16
        elif size == 0:
            size = end - position
        if size < head:
            return
        yield kind, (position + head, position + size)
        position += size


def first_of_each(data: bytes, position: int, end: int) -> dict[bytes, Place]:
    """Return the place of the first box of each kind, as far as it lies inside.

    Raises:
        DamagedPhoto: there are more than in any picture.
    """
    found: dict[bytes, Place] = {}
    for kind, (start, stop) in boxes(data, position, end):
        found.setdefault(kind, (start, min(stop, end)))
    return found


class Numbers:
    """Numbers that follow each other in a box, and end with it."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self._data, self._at, self._end = data, start, end

    def take(self, size: int) -> int:
        """Return the next one, of so many bytes; of none it is 0.

        Raises:
            DamagedPhoto: the box ends before it does.
        """
        at = self._at
        self._at += size
        if self._at > self._end:
            raise damaged()
        return int.from_bytes(self._data[at : self._at], "big")
