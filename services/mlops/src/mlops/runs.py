"""The states of a training run and their transitions. Knows no server and no framework."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

from laundry_learning.judging import Check

Kind = Literal["refit", "full"]
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]

STATUSES: tuple[Status, ...] = get_args(Status)

_MAY_BECOME: dict[Status, tuple[Status, ...]] = {
    "queued": ("running", "cancelled"),
    # Back to the queue when its process died: see MOST_ATTEMPTS.
    "running": ("queued", "succeeded", "failed", "cancelled"),
    "succeeded": (),
    "failed": (),
    "cancelled": (),
}


MOST_ATTEMPTS = 3
"""A run whose process dies is started again, so many times in all."""


class Decision(BaseModel):
    """Whether a run's model became the champion, and why; older runs have no checks."""

    model_config = ConfigDict(frozen=True)

    promoted: bool
    reasons: list[str]
    checks: list[Check] = []


@dataclass(frozen=True)
class TrainingRun:
    """A training run; ``progress`` is 0..1, and ``decision`` None unless it succeeded."""

    id: str
    kind: Kind
    status: Status
    progress: float
    model_version: str | None
    decision: Decision | None
    error: str | None
    requested_by: str
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class LogLine:
    """A line of a run's log."""

    created_at: datetime
    text: str


class RunError(Exception):
    """A training run cannot succeed; the message says why and what would help."""


class StoreUnavailable(RunError):
    """The object store stayed away for longer than a run waits."""


class RunInterrupted(Exception):
    """A training run lost what it needs; started again it goes on where it was."""


def may_become(status: Status, target: Status) -> bool:
    """Whether a run in ``status`` may become ``target``."""
    return target in _MAY_BECOME[status]


def sources_of(target: Status) -> tuple[Status, ...]:
    """The statuses from which a run may become ``target``."""
    return tuple(status for status in STATUSES if may_become(status, target))
