"""Queues a training run when one is due, without being asked."""

import asyncio
import contextlib
from datetime import UTC, datetime

import structlog
from prometheus_client import Gauge
from sqlalchemy.exc import SQLAlchemyError

from laundry_service.database import Database
from mlops import repository
from mlops.drift import BEFORE, RECENT, drift_of
from mlops.retraining import Rules, due

LOOK_EVERY_S = 15.0
DRIFT = Gauge(
    "laundry_reading_drift", "Population stability index of what is read lately; over 0.25 alarms", ["of"]
)
CORRECTED = Gauge("laundry_corrected_share", "Share of the last 200 confirmed readings that people corrected")
FAILURES = Gauge("laundry_training_failures_in_a_row", "Training runs that failed since one last succeeded")
WAITING = Gauge("laundry_new_corrections", "Corrections since the last training run was asked for")

log = structlog.get_logger(__name__)


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
            new = await repository.since_last_run(session)
            drift = drift_of(await repository.newest_readings(session, limit=RECENT + BEFORE))
            WAITING.set(new.corrections)
            FAILURES.set(await repository.failures_in_a_row(session))
            if drift is not None:
                DRIFT.labels("classes").set(drift.classes)
                DRIFT.labels("confidence").set(drift.confidence)
                CORRECTED.set(drift.corrected)
            why = due(self._rules, new, drift, datetime.now(UTC))
            if why is None or await repository.any_open_run(session):
                return None
            await repository.add_run(session, "refit", requested_by=why)
        log.info("a training run is due", why=why, corrections=new.corrections)
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
