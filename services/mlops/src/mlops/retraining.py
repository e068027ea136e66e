"""When to retrain automatically: enough new corrections, a schedule, or drift. Knows no server."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from mlops.drift import Drift


@dataclass(frozen=True)
class Rules:
    """When a run is due; 0 turns a rule off."""

    after_corrections: int
    every_hours: float
    on_drift: bool
    pause_hours: float


@dataclass(frozen=True)
class NewExamples:
    """What came since the last run was asked for, whoever asked."""

    examples: int
    corrections: int
    last_run_at: datetime | None


def due(rules: Rules, new: NewExamples, drift: Drift | None, now: datetime) -> str | None:
    """Return why a run is due, as its ``requested_by`` says it; None if none is."""
    if not new.examples:
        return None
    if rules.after_corrections and new.corrections >= rules.after_corrections:
        return "policy:corrections"
    waited = None if new.last_run_at is None else now - new.last_run_at
    if rules.every_hours and (waited is None or waited >= timedelta(hours=rules.every_hours)):
        return "policy:schedule"
    rested = waited is None or waited >= timedelta(hours=rules.pause_hours)
    if rules.on_drift and drift is not None and drift.alarming and rested:
        return "policy:drift"
    return None
