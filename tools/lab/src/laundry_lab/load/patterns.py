"""When requests arrive: whole schedules, made in advance; the same seed gives the same schedule."""

import json
import math
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from laundry_lab.load.documents import Malformed, Part
from laundry_servers.errors import LaundryError

MOST = 1_000_000
MOST_S = 1e11
"""No time that was recorded is later, or further apart from another: three thousand years."""


def steady(rate: float, seconds: float, *, seed: int | None) -> list[float]:
    """Arrive ``rate`` times a second on average, each independent of the others; evenly without a seed."""
    number = _within(rate * seconds)
    if seed is None:
        return [turn / rate for turn in range(number)]
    return _drawn(number, seed, lambda share: share * seconds)


def spike(number: int, seconds: float, *, seed: int | None) -> list[float]:
    """Arrive ``number`` times, from none at both ends to twice the mean rate in the middle."""

    def at(share: float) -> float:
        if share < 0.5:
            return seconds * math.sqrt(share / 2)
        return seconds * (1 - math.sqrt((1 - share) / 2))

    return _shaped(_within(number), seed, at)


def ramp(rate: float, seconds: float, *, seed: int | None) -> list[float]:
    """Arrive ever more often, from not at all to ``rate`` a second at the end."""
    return _shaped(_within(rate * seconds / 2), seed, lambda share: seconds * math.sqrt(share))


def recorded(path: Path, *, faster: float = 1.0) -> list[float]:
    """Read arrivals that were recorded: a run of ``laundry load``, or a text file with one time a line.

    Times are seconds or ISO 8601; only what lies between them counts.

    Args:
        faster: 2 replays them in half the time.

    Raises:
        LaundryError: the file holds no arrivals.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LaundryError(f"{path} cannot be read: {error}") from error
    try:
        if text.lstrip().startswith("{"):
            times = _of_run(Part(json.loads(text)))
        else:
            times = [_time(line) for line in text.splitlines() if line.strip()]
    except (ValueError, OverflowError, RecursionError) as error:
        raise LaundryError(
            f"{path} holds no arrivals: give a run's JSON, or a file with a time in each line ({error})"
        ) from error
    _within(len(times))
    times.sort()
    return [(each - times[0]) / faster for each in times]


def _of_run(document: Part) -> list[float]:
    """Return when the photos of a run arrived: all of a batch when it was due."""
    due, plan = document["requests"]["due_us"].integers(0), document.get("plan", {})
    sizes = batch_sizes(photos_of(plan, len(due)), plan.get("batch", 1).integer(1, MOST))
    return [micros / 1e6 for micros, size in zip(due, sizes, strict=True) for _ in range(size)]


def photos_of(plan: Part, requests: int) -> int:
    """Return how many photos the plan of a run has, which so many requests carry. Raises Malformed."""
    batch = plan.get("batch", 1).integer(1, MOST)
    photos = plan.get("photos", requests * batch).integer(1, MOST)
    if -(-photos // batch) != requests:
        raise Malformed(
            f"{photos} photos in batches of {batch} are not the {requests} requests that there are"
        )
    return photos


def batch_sizes(number: int, size: int) -> list[int]:
    """Return how many photos are in each batch: ``size``, and what is left in the last one."""
    return [min(size, number - first) for first in range(0, number, size)]


def in_batches(arrivals: Sequence[float], size: int) -> list[float]:
    """Return when batches are sent: each as soon as its last photo is there, so that none comes early."""
    return [arrivals[min(first + size, len(arrivals)) - 1] for first in range(0, len(arrivals), size)]


def _time(line: str) -> float:
    text = line.strip()
    try:
        found = float(text)
    except ValueError:
        found = datetime.fromisoformat(text).timestamp()
    if not abs(found) <= MOST_S:
        raise ValueError(f"{text} is no time")
    return found


def _within(number: float) -> int:
    if not (math.isfinite(number) and 1 <= round(number) <= MOST):
        raise LaundryError(f"{number:g} arrivals: there must be 1 to {MOST:,}. Change --rate or --for.")
    return round(number)


def _shaped(number: int, seed: int | None, at: Callable[[float], float]) -> list[float]:
    if seed is None:
        return [at((turn + 0.5) / number) for turn in range(number)]
    return _drawn(number, seed, at)


def _drawn(number: int, seed: int, at: Callable[[float], float]) -> list[float]:
    """Draw independent arrivals: a Poisson process with a known number of events."""
    chance = random.Random(seed)  # noqa: S311 - load, not secrets
    return sorted(at(chance.random()) for _ in range(number))
