"""Decodes photos in a process of its own: `python -m laundry_reading.worker`.

Decoders of untrusted input can crash, hang or exhaust memory. Here that fails one photo, not the service.

Each message is a length (four bytes, big endian), as much JSON, and the bytes that the JSON announces.
"""

from __future__ import annotations

import ctypes
import json
import resource
import struct
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from laundry_reading.errors import PhotoError
from laundry_reading.photo import PhotoInfo, check_photo, inspect_photo

MAX_PHOTO_BYTES = 280_000_000
"""What one photo may take of memory. A reader has room for as much: what does not fit here is not taken."""

MAX_DATA_BYTES = 400_000_000
"""What a decoder may hold in all, with its libraries and what earlier photos left behind."""

MAX_CPU_S = 30
"""Processor time of one photo; the largest takes a fifth of it. It ends this process."""

# As glibc names them (`malloc.h`).
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8

READY = b"\n"
"""The first byte of the output: from now on photos are decoded."""


def main() -> None:
    """Answer until the input ends."""
    _keep_little()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asks, answers = sys.stdin.buffer, sys.stdout.buffer
    answers.write(READY)
    answers.flush()
    while (asked := _read(asks)) is not None:
        order, photo = asked
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + MAX_CPU_S, most))
        allowed = min(_held() + MAX_PHOTO_BYTES, MAX_DATA_BYTES)
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, MAX_DATA_BYTES))
        _write(answers, *_answer(order, photo))


def _held() -> int:
    """Return how many bytes of data this process has, as the limit counts them."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    except FileNotFoundError:
        return 0
    return pages * resource.getpagesize()


def _keep_little() -> None:
    """Give back at once what a photo took: kept for the next, it would count against that one."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # another C library than glibc has none
        mallopt(_MMAP_THRESHOLD, 200_000)
        mallopt(_ARENA_MAX, 1)


def message(told: dict[str, Any], *parts: bytes) -> bytes:
    """Frame a message: its length, JSON, and the binary parts that it names."""
    text = json.dumps(told | {"parts": [len(part) for part in parts]}).encode()
    return b"".join([struct.pack(">I", len(text)), text, *parts])


def _answer(order: dict[str, Any], photo: bytes) -> tuple[dict[str, Any], list[bytes]]:
    try:
        limits = {name: order[name] for name in ("max_bytes", "max_pixels") if name in order}
        if order["do"] == "check":
            return {"info": asdict(check_photo(photo, **limits))}, []
        # With these comes a colour engine.
        from laundry_reading.pictures import make_pictures, make_readable  # noqa: PLC0415

        if order["do"] == "readable":
            inspect_photo(photo, **limits)
            made = [make_readable(photo)]
        else:
            pictures = make_pictures(photo)
            made = [pictures.display, pictures.thumbnail]
        return {"pictures": [[each.width, each.height] for each in made]}, [each.data for each in made]
    except PhotoError as error:
        return {"error": type(error).__name__, "message": str(error), "facts": error.facts}, []
    except MemoryError:
        return {"error": "TooManyPixels", "message": "The photo needs too much memory.", "facts": {}}, []


def _read(file: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    head = file.read(4)
    if len(head) < 4:
        return None
    order = json.loads(file.read(*struct.unpack(">I", head)))
    return order, b"".join(file.read(size) for size in order["parts"])


def _write(file: IO[bytes], told: dict[str, Any], parts: list[bytes]) -> None:
    file.write(message(told, *parts))
    file.flush()


__all__ = ["MAX_CPU_S", "MAX_DATA_BYTES", "MAX_PHOTO_BYTES", "READY", "PhotoInfo", "message"]

if __name__ == "__main__":
    main()
