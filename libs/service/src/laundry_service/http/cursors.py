"""Pages of a list and their cursors, which are opaque to clients and validated like any other input.

A cursor is the position of the last item shown: a few values that the next query compares with.
"""

import base64
import binascii
import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from laundry_service.http.problems import Problem
from laundry_service.http.validation import is_storable

# Of a name of 100 characters, each of four bytes, and what stands beside it: 600.
MAX_CHARS = 1000
MAX_INTEGER = 2**63 - 1
# What PostgreSQL and each driver's way to UTC can take.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)

Item = TypeVar("Item")
CursorValue = str | int | float | UUID | datetime


class BadCursor(ValueError):
    """The cursor is not one that was given out."""


def write_cursor(*parts: CursorValue) -> str:
    """Encode a position as a cursor."""
    plain = [part.isoformat() if isinstance(part, datetime) else part for part in parts]
    # Letters as they are: with escapes a name in Korean would be twice as long.
    text = json.dumps(plain, default=str, ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def read_cursor(cursor: str, *kinds: type[CursorValue]) -> tuple[Any, ...]:
    """Decode and check a cursor.

    Args:
        cursor: what a client sent.
        kinds: what each value is: text, a 64-bit integer, a finite number, a UUID, a moment with its zone.

    Raises:
        BadCursor: it holds something else.
    """
    found = _parts(cursor)
    if len(found) != len(kinds):
        raise BadCursor(cursor)
    return tuple(_read(value, kind) for value, kind in zip(found, kinds, strict=True))


def position(
    cursor: str | None, *kinds: type[CursorValue], code: str = "cursor-invalid"
) -> tuple[Any, ...] | None:
    """Read the cursor that a client may have sent; None without one. Raises Problem 422 if it is not ours."""
    if cursor is None:
        return None
    try:
        return read_cursor(cursor, *kinds)
    except BadCursor as error:
        raise not_ours(code) from error


def not_ours(code: str = "cursor-invalid") -> Problem:
    """Make the problem document for a cursor that was not given out."""
    return Problem(422, code, "Use next_cursor of the page before, or leave cursor out.")


def page_of(found: Sequence[Item], limit: int) -> tuple[Sequence[Item], Item | None]:
    """Split what a query found that asked for ``limit + 1``.

    Returns:
        The page, and its last item if there are more after it, from which the next cursor is made.
    """
    return found[:limit], found[limit - 1] if len(found) > limit else None


def _parts(cursor: str) -> list[Any]:
    if len(cursor) > MAX_CHARS:
        raise BadCursor("too long")
    try:
        padded = cursor.rstrip("=") + "=" * (-len(cursor.rstrip("=")) % 4)
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise BadCursor(cursor) from error
    if not isinstance(found, list):
        raise BadCursor(cursor)
    return found


def _read(value: Any, kind: type[CursorValue]) -> CursorValue:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and kind in (int, float):
        whole = isinstance(value, int)
        if abs(value) <= MAX_INTEGER and math.isfinite(value) and (whole or kind is float):
            return kind(value)
    elif isinstance(value, str) and is_storable(value):
        if kind is str:
            return value
        try:
            read = UUID(value) if kind is UUID else datetime.fromisoformat(value)
        except ValueError as error:
            raise BadCursor(value) from error
        if isinstance(read, UUID) or (read.tzinfo is not None and EARLIEST <= read <= LATEST):
            return read
    raise BadCursor("another kind of value")
