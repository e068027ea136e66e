"""Gives memory back that was used for a moment."""

import contextlib
import ctypes

# Of glibc's malloc.h.
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
LARGE = 1024 * 1024


def give_back_what_is_large() -> None:
    """Keep glibc from holding on to what passwords are hashed in: 19 MiB for each thread that did.

    By itself it takes a freed block of that size for something usual, and keeps the next ones.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, LARGE)
        libc.mallopt(M_ARENA_MAX, 2)
