"""Large audiences travel in parts: no message is larger than 64 KiB, no match is lost."""

from collections.abc import Iterable

from laundry_events.envelope import MAX_MESSAGE_BYTES, encode
from laundry_events.events import PreferenceCreated, PreferenceMatch

# The comma between two matches.
SEPARATOR_BYTES = 1
# Digits of part and parts, and trace headers that another relay may add.
RESERVE_BYTES = 512


class TooLargeForAMessage(ValueError):
    """The preference itself, or a single match, does not fit."""


def room_for_matches(empty: PreferenceCreated, *, source: str) -> int:
    """Return how many bytes of matches fit beside a preference and its headers."""
    outgoing = encode(empty, source=source)
    headers = sum(len(name) + len(value.encode()) for name, value in outgoing.headers.items())
    room = MAX_MESSAGE_BYTES - RESERVE_BYTES - len(outgoing.body) - headers
    if room <= 0:
        raise TooLargeForAMessage(f"the preference leaves no room: {len(outgoing.body)} bytes")
    return room


def size_of(match: PreferenceMatch) -> int:
    """Return the bytes that a match takes in a message."""
    return len(match.model_dump_json().encode()) + SEPARATOR_BYTES


def plan_parts(sizes: Iterable[int], room: int) -> list[int]:
    """Fill parts in order; returns how many matches each takes.

    Args:
        sizes: bytes of each match, in the order in which they will be sent.
        room: bytes that a part has for them.

    Raises:
        TooLargeForAMessage: one match alone exceeds the room.
    """
    counts: list[int] = []
    used = room
    for size in sizes:
        if size > room:
            raise TooLargeForAMessage(f"a match of {size} bytes; a part has room for {room}")
        if used + size > room:
            counts.append(0)
            used = 0
        counts[-1] += 1
        used += size
    return counts
