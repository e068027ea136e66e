"""Queues a training run when one is due, without being asked."""

from datetime import UTC, datetime

import structlog
from prometheus_client import Gauge
from sqlalchemy.exc import SQLAlchemyError

from laundry_service.background.task import BackgroundTask
from laundry_service.storage.database import Database
from mlops import repository
from mlops.drift import BEFORE, RECENT, drift_of
from mlops.retraining import Rules, due

CHECK_EVERY_S = 15.0
DRIFT = Gauge(
    "laundry_reading_drift", "Population stability index of what is read lately; over 0.25 alarms", ["of"]
)
# 0 until there are enough readings to compare: without a value the metric would look as if it were gone.
for of in ("classes", "confidence"):
    DRIFT.labels(of)
CORRECTED = Gauge("laundry_corrected_share", "Share of the last 200 confirmed readings that people corrected")
FAILURES = Gauge("laundry_training_failures_in_a_row", "Training runs that failed since one last succeeded")
WAITING = Gauge("laundry_new_corrections", "Corrections since the last training run was asked for")

log = structlog.get_logger(__name__)


class Policy(BackgroundTask):
    """Queues a refit when one is due; a missing database is waited for."""

    def __init__(self, database: Database, rules: Rules) -> None:
        """Take the rules and where examples and runs are."""
        super().__init__(
            "retrain-policy",
            self._turn,
            every_s=CHECK_EVERY_S,
            expected=(SQLAlchemyError, OSError),
            waiting="the policy waits for the database",
            failed="the policy failed",
        )
        self._database = database
        self._rules = rules

    async def _turn(self) -> None:
        await self.check()

    async def check(self) -> str | None:
        """Check once; returns why a run was queued, None if none was."""
        async with self._database.transaction() as session:
            # One replica decides at a time, and sees earlier decisions.
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
