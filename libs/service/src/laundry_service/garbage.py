"""How often Python looks for cycles of objects that nothing else would free, and what a start leaves over."""

import contextlib
import ctypes
import gc

YOUNG = 10_000
"""So many new objects before it looks among them.

A few hundred messages or requests in hand are tens of thousands of them, all in use. With Python's own 700 a
quarter of the processor time of a message in a batch went into looking at those. What waits meanwhile to be
found is a megabyte or two.
"""


def look_seldom() -> None:
    """Look for cycles more seldom, and not at all among what there is by now: modules, classes, the app.

    What the start had used goes back to the system before: up to 7 MB.
    """
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
