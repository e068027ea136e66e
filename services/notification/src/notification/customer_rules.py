"""When a customer may be told something. Pure rules.

A recommendation is advertising. Korean law (정보통신망법 제50조) asks for consent before it is sent, for a
second consent before it is sent between 21:00 and 08:00, and for a simple way to end it. The second is never
asked for: at night nothing is sent, and what falls into the night is looked at again in the morning.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Literal

WEEK = timedelta(days=7)
DAY = timedelta(days=1)

Refusal = Literal["no-consent", "taken-back", "told-before", "enough-told"]


@dataclass(frozen=True)
class TellingPolicy:
    """The limits on what a customer is told.

    Attributes:
        per_week, per_day: things told in any seven days, and in any 24 hours.
        night_from, night_until: on the customer's own clock, nothing between; equal: there is no night.
    """

    per_week: int = 2
    per_day: int = 3
    night_from: time = time(21)
    night_until: time = time(8)

    def at_most(self, per_week: int) -> "TellingPolicy":
        """Return these limits for a customer who agreed to so many a week."""
        return replace(self, per_week=min(self.per_week, per_week))


@dataclass(frozen=True)
class Told:
    """Something that a customer was told: what it says, and when."""

    content: str
    at: datetime


@dataclass(frozen=True)
class Tell:
    """It may be told now, and shown until the next night begins; ``None``: there is no night."""

    until: datetime | None


@dataclass(frozen=True)
class Wait:
    """It is night; everything is decided again at this time."""

    until: datetime


@dataclass(frozen=True)
class Never:
    """It is not told at all; the customer finds it in the list."""

    why: Refusal


Decision = Tell | Wait | Never


@dataclass(frozen=True)
class Situation:
    """What a decision about a customer depends on, besides what was told.

    Attributes:
        consents: whether the customer agrees at this moment.
        stands: whether the branch has not taken back what it said.
        now: with its offset.
        zone: the customer's.
    """

    consents: bool
    stands: bool
    now: datetime
    zone: tzinfo
    policy: TellingPolicy


def decide(content: str, situation: Situation, told: Sequence[Told]) -> Decision:
    """Decide whether a customer is told something new.

    Args:
        content: what it says; equal contents are the same thing.
        told: what the customer was told, of the last seven days at least.
    """
    now, policy = situation.now, situation.policy
    decision = decide_again(situation)
    if not isinstance(decision, Never) and any(each.content == content for each in told):
        return Never("told-before")
    enough = _within(told, now, WEEK) >= policy.per_week or _within(told, now, DAY) >= policy.per_day
    return Never("enough-told") if enough and isinstance(decision, Tell) else decision


def decide_again(situation: Situation) -> Decision:
    """Decide on a further try to tell what has its place among the told already."""
    now, zone, policy = situation.now, situation.zone, situation.policy
    if not situation.consents:
        return Never("no-consent")
    if not situation.stands:
        return Never("taken-back")
    if is_night(now, zone, policy):
        return Wait(_night_ends(now, zone, policy))
    return Tell(_night_begins(now, zone, policy))


def is_night(now: datetime, zone: tzinfo, policy: TellingPolicy) -> bool:
    """Whether a clock in this zone shows a time of the night."""
    clock = now.astimezone(zone).time()
    begins, ends = policy.night_from, policy.night_until
    if begins <= ends:
        return begins <= clock < ends
    return clock >= begins or clock < ends


def _within(told: Sequence[Told], now: datetime, span: timedelta) -> int:
    # What another clock dates a little into the future counts too.
    return sum(each.at > now - span for each in told)


def _night_begins(now: datetime, zone: tzinfo, policy: TellingPolicy) -> datetime | None:
    if policy.night_from == policy.night_until:
        return None
    return min(_moments(policy.night_from, now, zone))


def _night_ends(now: datetime, zone: tzinfo, policy: TellingPolicy) -> datetime:
    # Where clocks are set forward over the morning, one of the moments still lies in the night.
    ends = _moments(policy.night_until, now, zone)
    return min(moment for moment in ends if not is_night(moment, zone, policy))


def _moments(clock: time, now: datetime, zone: tzinfo) -> list[datetime]:
    """Return when a clock in the zone shows this time in the next days, in UTC."""
    today = now.astimezone(zone).date()
    moments = (
        datetime.combine(today + timedelta(days=day), clock, zone).replace(fold=fold).astimezone(UTC)
        for day in range(4)
        for fold in (0, 1)
    )
    return [moment for moment in moments if moment > now]
