"""Time-ordered identifiers, so that an index on them stays compact."""

import uuid_utils


def new_id() -> str:
    """Return a new UUIDv7 in its canonical text form (36 characters)."""
    return str(uuid_utils.uuid7())
