"""What is said of samples that are taken but not as they came."""

from datetime import datetime

from monitoring.telemetry import Trouble
from monitoring.timeline import FUTURE, TOO_OLD

_DETAILS = {
    "duplicate": "This sample (equipment, recorded_at and code) is stored already; it has no second effect.",
    "late": "Older than the newest sample that is known: kept as history, it changes no fault.",
    "clock-back": "recorded_at lies before the newest sample that is known; the fault code counts all the "
    "same, with a word that the clock may be wrong. Set the equipment's clock.",
    "too-old": f"recorded_at is more than {TOO_OLD.total_seconds() / 3600:.0f} h ago: taken, with a word "
    "that the clock may be wrong. Set the equipment's clock.",
}


def said_of(code: str, index: int, *, ahead: float = 0.0, now: datetime | None = None) -> Trouble:
    """Word what is to be said of a sample.

    Args:
        ahead: for ``recorded-in-future``, by how many seconds.
        now: the time here.
    """
    if code == "recorded-in-future" and now is not None:
        return Trouble(
            index,
            code,
            f"recorded_at is {ahead:.0f} s ahead of the time here ({_time(now)}); more than "
            f"{FUTURE.total_seconds():.0f} s is a wrong clock. It counts from its arrival. "
            "Set the equipment's clock.",
        )
    return Trouble(index, code, _DETAILS[code])


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
