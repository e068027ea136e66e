"""How long a photo is kept: by hours since a moment, whatever time zone anybody is in."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from helper.retention import MAX_KEEP_DAYS, Limits, Policy, due_at, kept_days

ZONES = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=ZONES)
DAYS = st.integers(1, MAX_KEEP_DAYS)
POLICIES = st.none() | st.builds(Policy, DAYS, st.booleans())
LIMITS = st.builds(Limits.of_days, DAYS, DAYS)


@given(MOMENTS, st.none() | MOMENTS, POLICIES, LIMITS, ZONES)
def test_it_does_not_matter_in_whose_time_it_is_said(
    submitted: datetime, confirmed: datetime | None, policy: Policy | None, limits: Limits, zone: timezone
) -> None:
    due = due_at(submitted, confirmed, policy, limits)
    elsewhere = due_at(submitted.astimezone(zone), confirmed and confirmed.astimezone(zone), policy, limits)
    assert due == elsewhere


@given(MOMENTS, MOMENTS, POLICIES, LIMITS)
def test_a_confirmed_photo_is_kept_as_its_branch_says_else_as_the_setting(
    submitted: datetime, confirmed: datetime, policy: Policy | None, limits: Limits
) -> None:
    kept = due_at(submitted, confirmed, policy, limits) - confirmed
    assert kept == (timedelta(days=policy.keep_days) if policy else limits.confirmed)
    assert due_at(submitted, None, policy, limits) - submitted == limits.unconfirmed


@given(MOMENTS, DAYS, DAYS, LIMITS)
def test_who_keeps_photos_for_longer_never_loses_one_earlier(
    confirmed: datetime, one: int, other: int, limits: Limits
) -> None:
    short, long = sorted((one, other))
    due = [due_at(confirmed, confirmed, Policy(days), limits) for days in (short, long)]
    assert due[0] <= due[1]


@given(MOMENTS, st.none() | MOMENTS, POLICIES, LIMITS)
def test_people_are_told_the_days_that_it_was_kept_for(
    submitted: datetime, confirmed: datetime | None, policy: Policy | None, limits: Limits
) -> None:
    due = due_at(submitted, confirmed, policy, limits)
    days = (due - (confirmed or submitted)) // timedelta(days=1)
    assert kept_days(submitted, confirmed, due.astimezone(UTC)) == days
    assert kept_days(submitted, confirmed, due + timedelta(hours=23)) == days
