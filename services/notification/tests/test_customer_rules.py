"""No sequence of matches, at any time and in any zone, breaks a customer's limits."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from notification.customer_rules import (
    WEEK,
    Never,
    Refusal,
    Situation,
    Tell,
    TellingPolicy,
    Told,
    Wait,
    decide,
    decide_again,
    is_night,
)

SEOUL = ZoneInfo("Asia/Seoul")
# With and without summer time, by whole and half hours, on both hemispheres; Apia once left out a whole day.
ZONES = [
    ZoneInfo(name)
    for name in (
        "Asia/Seoul",
        "Europe/Berlin",
        "America/New_York",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Asia/Kathmandu",
        "Pacific/Apia",
        "Pacific/Kiritimati",
        "UTC",
    )
]
zones = st.sampled_from(ZONES)
moments = st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))
clocks = st.times().map(lambda at: at.replace(second=0, microsecond=0))
policies = st.builds(
    TellingPolicy,
    per_week=st.integers(0, 5),
    per_day=st.integers(0, 3),
    night_from=st.just(time(21)) | clocks,
    night_until=st.just(time(8)) | clocks,
)


def seoul(day: int, hour: int, minute: int = 0) -> datetime:
    """Return a moment of November 2026 by a clock in Seoul."""
    return datetime(2026, 11, day, hour, minute, tzinfo=SEOUL).astimezone(UTC)


def at(now: datetime, *, consents: bool = True, stands: bool = True) -> Situation:
    """Return a situation in Seoul with the usual limits."""
    return Situation(consents, stands, now, SEOUL, TellingPolicy())


def told(*moments: datetime) -> list[Told]:
    return [Told(f"before-{number}", at) for number, at in enumerate(moments)]


@pytest.mark.parametrize(
    ("now", "until"),
    [
        (seoul(3, 21), seoul(4, 8)),
        (seoul(3, 23, 59), seoul(4, 8)),
        (seoul(4, 0), seoul(4, 8)),
        (seoul(4, 7, 59), seoul(4, 8)),
    ],
)
def test_what_falls_into_the_night_waits_for_the_morning(now: datetime, until: datetime) -> None:
    decision = decide("new", at(now), [])
    assert decision == Wait(until)


@pytest.mark.parametrize("now", [seoul(3, 8), seoul(3, 20, 59)])
def test_by_day_it_is_told_and_shown_before_the_night_or_not_at_all(now: datetime) -> None:
    decision = decide("new", at(now), [])
    assert decision == Tell(seoul(3, 21))


def test_two_in_seven_days_are_enough() -> None:
    noon = seoul(10, 12)

    def after(*moments: datetime) -> object:
        return decide("new", at(noon), told(*moments))

    assert after(noon - timedelta(days=6), noon - timedelta(hours=1)) == Never("enough-told")
    assert isinstance(after(noon - WEEK, noon - timedelta(hours=1)), Tell)


def test_without_consent_or_what_was_said_nothing_waits_either() -> None:
    for now in (seoul(3, 12), seoul(3, 23)):
        cases: list[tuple[Situation, Refusal]] = [
            (at(now, consents=False), "no-consent"),
            (at(now, stands=False), "taken-back"),
            (at(now, consents=False, stands=False), "no-consent"),
        ]
        for situation, why in cases:
            assert decide("new", situation, told(now)) == decide_again(situation) == Never(why)


def test_a_limit_that_is_raised_does_not_bind_who_agreed_to_less() -> None:
    assert TellingPolicy(per_week=5).at_most(2).per_week == 2
    assert TellingPolicy(per_week=1).at_most(2).per_week == 1


matches = st.tuples(
    st.timedeltas(timedelta(0), timedelta(days=3)), st.sampled_from("abcdefgh"), st.booleans(), st.booleans()
)


@given(start=moments, coming=st.lists(matches, max_size=30), zone=zones, policy=policies)
def test_no_sequence_breaks_the_limits(
    start: datetime, coming: list[tuple[timedelta, str, bool, bool]], zone: ZoneInfo, policy: TellingPolicy
) -> None:
    """Matches come; those that wait are decided again when they said, with what is true then."""
    allowed: list[bool] = []
    shown: list[Told] = []
    waiting: list[tuple[datetime, str]] = []
    now = start
    for after, content, agrees, stands in coming:
        now += after
        due = sorted(each for each in waiting if each[0] <= now)
        waiting = [each for each in waiting if each[0] > now]
        for at, what in [*due, (now, content)]:
            decision = decide(what, Situation(agrees, stands, at, zone, policy), shown)
            match decision:
                case Tell(until):
                    shown.append(Told(what, at))
                    allowed.append(agrees and stands)
                    assert until is None or not is_night(until - timedelta(seconds=1), zone, policy)
                case Wait(until):
                    waiting.append((until, what))
                    assert at < until <= at + timedelta(days=3)
    assert all(allowed)
    assert not [each for each in shown if is_night(each.at, zone, policy)]
    assert len({each.content for each in shown}) == len(shown)
    for first in shown:
        within = [each for each in shown if first.at <= each.at < first.at + WEEK]
        assert len(within) <= policy.per_week


@given(now=moments, zone=zones, policy=policies)
# In Berlin no clock shows 02:30 on that morning, on another two do.
@example(
    datetime(2026, 3, 29, 0, 15, tzinfo=UTC),
    ZoneInfo("Europe/Berlin"),
    TellingPolicy(night_until=time(2, 30)),
)
@example(
    datetime(2026, 10, 25, 0, 15, tzinfo=UTC),
    ZoneInfo("Europe/Berlin"),
    TellingPolicy(night_until=time(2, 30)),
)
# Apia had no 30 December 2011.
@example(datetime(2011, 12, 30, 9, 30, tzinfo=UTC), ZoneInfo("Pacific/Apia"), TellingPolicy())
def test_the_morning_is_morning_and_comes(now: datetime, zone: ZoneInfo, policy: TellingPolicy) -> None:
    decision = decide_again(Situation(True, True, now, zone, policy))
    if isinstance(decision, Wait):
        assert is_night(now, zone, policy)
        assert not is_night(decision.until, zone, policy)
        assert now < decision.until < now + timedelta(days=3)
    else:
        assert not is_night(now, zone, policy)
