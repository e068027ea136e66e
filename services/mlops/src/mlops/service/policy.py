"""When to retrain without being asked: enough new corrections, a schedule, or drift."""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from prometheus_client import Gauge
from sqlalchemy.exc import SQLAlchemyError

from laundry_service.database import Database
from mlops import repository
from mlops.drift import BEFORE, RECENT, Drift, drift_of

LOOK_EVERY_S = 15.0
DRIFT = Gauge(
    "laundry_reading_drift", "Population stability index of what is read lately; over 0.25 alarms", ["of"]
)
CORRECTED = Gauge("laundry_corrected_share", "Share of the last 200 confirmed readings that people corrected")
FAILURES = Gauge("laundry_training_failures_in_a_row", "Training runs that failed since one last succeeded")
WAITING = Gauge("laundry_new_corrections", "Corrections since the last training run was asked for")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Rules:
    """When a run is due; 0 turns a rule off."""

    after_corrections: int
    every_hours: float
    on_drift: bool
    pause_hours: float


@dataclass(frozen=True)
class Since:
    """What came since the last run was asked for, whoever asked."""

    examples: int
    corrections: int
    last_run_at: datetime | None


def due(rules: Rules, since: Since, drift: Drift | None, now: datetime) -> str | None:
    """Say why a run is due, in the word that its ``requested_by`` carries; None if none is."""
    if not since.examples:
        return None
    if rules.after_corrections and since.corrections >= rules.after_corrections:
        return "policy:corrections"
    waited = None if since.last_run_at is None else now - since.last_run_at
    if rules.every_hours and (waited is None or waited >= timedelta(hours=rules.every_hours)):
        return "policy:schedule"
    rested = waited is None or waited >= timedelta(hours=rules.pause_hours)
    if rules.on_drift and drift is not None and drift.alarming and rested:
        return "policy:drift"
    return None


class Policy:
    """Looks from time to time and queues a refit when one is due."""

    def __init__(self, database: Database, rules: Rules) -> None:
        """Take the rules and where examples and runs are."""
        self._database = database
        self._rules = rules
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="retrain-policy")

    async def stop(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def look(self) -> str | None:
        """Look once; returns why a run was queued, None if none was."""
        async with self._database.transaction() as session:
            # One replica at a time decides, and sees what the one before decided.
            await repository.lock_policy(session)
            rows = await repository.newest_readings(session, limit=RECENT + BEFORE)
            since = Since(**await repository.since_last_run(session))
            drift = drift_of([dict(row) for row in rows])
            WAITING.set(since.corrections)
            FAILURES.set(await repository.failures_in_a_row(session))
            if drift is not None:
                DRIFT.labels("classes").set(drift.classes)
                DRIFT.labels("confidence").set(drift.confidence)
                CORRECTED.set(drift.corrected)
            why = due(self._rules, since, drift, datetime.now(UTC))
            if why is None or await repository.any_open_run(session):
                return None
            await repository.add_run(session, "refit", requested_by=why)
        log.info("a training run is due", why=why, corrections=since.corrections)
        return why

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except (SQLAlchemyError, OSError) as error:
                log.warning(
                    "the policy waits for the database", error=f"{type(error).__name__}: {error}"[:300]
                )
            except Exception:
                log.exception("the policy failed")
            await asyncio.sleep(LOOK_EVERY_S)
