"""Timestamps as people and machines may write them: RFC 3339 with a zone, and nothing else.

The usual parsers are generous. To them ``20261128`` is a second of August 1970, or a day in no zone.
"""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, TypeAdapter

# ASCII only: \d would take the digits of other scripts. A space may stand for the T (RFC 3339, 5.6).
_FORM = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
HOW = "write the moment as RFC 3339 with its zone, for example 2026-11-28T09:30:00Z"


def _written(said: object) -> object:
    if isinstance(said, datetime) or (isinstance(said, str) and _FORM.fullmatch(said)):
        return said
    raise ValueError(HOW)


def _in_utc(moment: datetime) -> datetime:
    # At the calendar's ends zones overflow, and databases read its first and last moment as infinite.
    if not 1 < moment.year < datetime.max.year:
        raise ValueError(HOW)
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_in_utc)]
"""A field of this type takes RFC 3339 text (or a ``datetime``) and refuses numbers and bare dates."""

_moment: TypeAdapter[datetime] = TypeAdapter(Moment)


def read_moment(text: object) -> datetime:
    """Read RFC 3339 text, as a cursor or a header has it; in UTC.

    Raises:
        ValueError: it is anything else, or no moment of the calendar.
    """
    return _moment.validate_python(text)
