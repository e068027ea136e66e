"""Moments: RFC 3339 and nothing else."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from laundry_events.events import EVENTS
from laundry_events.moments import Moment, read_moment

ZONES = st.integers(min_value=-23 * 60, max_value=23 * 60).map(lambda m: timezone(timedelta(minutes=m)))
MOMENTS = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31), timezones=ZONES)


class Said(BaseModel):
    at: Moment


@given(MOMENTS)
def test_what_is_written_is_what_is_read(moment: datetime) -> None:
    assert read_moment(moment.isoformat()) == moment
    assert Said.model_validate_json(f'{{"at": "{moment.isoformat()}"}}').at == moment
    assert Said(at=moment).at == moment


@pytest.mark.parametrize(
    "text",
    ["2026-11-28T09:30:00Z", "2026-11-28t09:30:00z", "2026-11-28 09:30:00.5Z", "2026-11-28T18:30:00+09:00"],
)
def test_the_forms_of_the_standard_are_taken(text: str) -> None:
    assert read_moment(text).astimezone(UTC).date() == datetime(2026, 11, 28, tzinfo=UTC).date()


@pytest.mark.parametrize(
    "text",
    [
        '"20261128"',
        '"1772366400"',
        '"1772366400000"',
        "1772366400",
        "1772366400.5",
        "0",
        "true",
        "null",
        '""',
        '"2026-11-28"',
        '"2026-11-28T09:30:00"',
        '"20261128T093000Z"',
        '"2026-11-28T09:30Z"',
        '"2026-W48-6"',
        '"2026-11-28T24:00:00Z"',
        '"0001-01-01T00:00:00Z"',
        '"9999-12-31T23:59:59.999999Z"',
        '"0001-01-01T00:00:00+14:00"',
        '"9999-12-31T23:59:59-14:00"',
        '"2026-02-30T00:00:00Z"',
        '"2026-11-28T09:30:00 +0900"',
        '"yesterday"',
        '"\u0662\u0660\u0662\u0666-11-28T09:30:00Z"',
        '"2026-11-28T09:30:00Z\\n"',
        '"now"',
        "[]",
        "{}",
    ],
)
def test_numbers_bare_dates_and_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Said.model_validate_json(f'{{"at": {text}}}')


@given(st.integers() | st.integers().map(str) | st.floats() | st.text(max_size=30))
def test_nothing_else_is_ever_a_moment(said: object) -> None:
    try:
        read_moment(said)
    except ValueError:
        return
    assert isinstance(said, str)
    assert said[4] == "-" and said[7] == "-"


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.event_type)
def test_no_event_reads_digits_as_a_moment(event: type[BaseModel]) -> None:
    dated = [name for name, f in event.model_fields.items() if "datetime" in str(f.annotation).lower()]
    assert dated
    for name in dated:
        for digits in ("20261128", 20261128):
            with pytest.raises(ValidationError) as caught:
                event.model_validate({name: digits})
            assert any(error["loc"] == (name,) for error in caught.value.errors())
