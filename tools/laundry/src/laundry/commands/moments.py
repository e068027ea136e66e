"""Times that options name."""

from datetime import UTC, datetime

from laundry_servers.errors import LaundryError


def moment(text: str | None) -> datetime | None:
    """Read a time of an option; one without a zone is UTC. Raises LaundryError."""
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise LaundryError(f"{text!r} is no time. Write 2026-05-01 or 2026-05-01T09:00:00+09:00.") from error
    return when if when.tzinfo else when.replace(tzinfo=UTC)
