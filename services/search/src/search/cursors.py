"""Cursors over branches by score: opaque to clients, and checked when they come back."""

import base64
import binascii
import json


class BadCursor(ValueError):
    """The cursor is not one that was given out."""


def write_cursor(score: float, branch_id: str) -> str:
    """Name the place behind a branch."""
    return base64.urlsafe_b64encode(json.dumps([score, branch_id]).encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[float, str]:
    """Read the place. Raises ``BadCursor``."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        score, branch_id = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError) as error:
        raise BadCursor(cursor) from error
    if not isinstance(score, float | int) or not 0 <= score <= 1 or not isinstance(branch_id, str):
        raise BadCursor(cursor)
    return float(score), branch_id
