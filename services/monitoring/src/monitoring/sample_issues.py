"""What the sender is told of a sample that was refused, or taken but not as it came."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from monitoring.timeline import MAX_AGE, MAX_AHEAD

TakenAs = Literal["duplicate", "late", "clock-back", "too-old"]

_DETAILS: dict[TakenAs, str] = {
    "duplicate": "This sample (equipment, recorded_at and code) is stored already; it has no second effect.",
    "late": "Older than the newest known sample: kept as history, it changes no fault.",
    "clock-back": "recorded_at lies before the newest known sample; the fault code counts all the same, "
    "marked as from a clock that may be wrong. Set the equipment's clock.",
    "too-old": f"recorded_at is more than {MAX_AGE.total_seconds() / 3600:.0f} h ago: taken, "
    "marked as from a clock that may be wrong. Set the equipment's clock.",
}


@dataclass(frozen=True)
class SampleIssue:
    """A problem with one sample of a request.

    Attributes:
        index: the sample's place in the request.
        code: a stable word in kebab-case.
        detail: what is wrong and what to send instead.
    """

    index: int
    code: str
    detail: str


def issue_of(code: TakenAs, index: int) -> SampleIssue:
    """Say that a sample was taken, but not as it came."""
    return SampleIssue(index, code, _DETAILS[code])


def recorded_in_future(index: int, *, recorded_at: datetime, now: datetime) -> SampleIssue:
    """Say that the clock of a sample is ahead of the service's."""
    here = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    return SampleIssue(
        index,
        "recorded-in-future",
        f"recorded_at is {(recorded_at - now).total_seconds():.0f} s ahead of the time here ({here}); more "
        f"than {MAX_AHEAD.total_seconds():.0f} s is a wrong clock. It counts from its arrival. "
        "Set the equipment's clock.",
    )
