"""What every kind of run records of itself: progress, log, and how it ended."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_learning.curation import Assignment, LabelQuality
from laundry_learning.judging import Verdict
from laundry_learning.sandbox.launcher import SandboxGone
from laundry_reading.manifest import Manifest
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStoreUnavailable
from laundry_service.storage.outages import is_contention, is_outage
from mlops import repository
from mlops.launching.launcher import RETRY_LATER
from mlops.models import Judgement, Source
from mlops.runs import Decision, RunError, RunInterrupted
from mlops.service.registry import Registry

REPORT_EVERY_S = 0.5

log = structlog.get_logger(__name__)


class NotRunning(Exception):
    """The run was cancelled or given up, or goes on elsewhere: nothing of this attempt is kept."""


def is_passing(error: BaseException) -> bool:
    """Whether what a run needs went away: started again it goes on where it was.

    A database or a container that is gone for a moment must cost an attempt, not what was trained.
    """
    return isinstance(error, RunInterrupted | OSError) or is_outage(error) or is_contention(error)


class Run:
    """``async with run:`` notes why it failed; ``exit_code`` is 1 for our fault, 75 to be started again."""

    def __init__(self, run_id: str, database: Database, registry: Registry) -> None:
        """Take the run's id and where it is noted."""
        self.id = run_id
        self.exit_code = 0
        self._database = database
        self._registry = registry
        self._reported = 0.0
        self._attempt: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            return True
        if isinstance(error, NotRunning):
            log.info("the run is not wanted any more", run_id=self.id)
            return True
        # Why a container is gone the cluster knows, such as that it needed more memory than its limit.
        if is_passing(error):
            log.warning("the run is to be begun anew", run_id=self.id, error=str(error))
            self.exit_code = RETRY_LATER
            await self._try_to_note(_why_begun_anew(error))
            return True
        if isinstance(error, RunError | ObjectStoreUnavailable):
            log.warning("the run fails", run_id=self.id, error=str(error))
            await self._fail(str(error))
            return True
        if isinstance(error, Exception):
            log.error("the run fails unexpectedly", run_id=self.id, exc_info=error)
            self.exit_code = 1
            await self._fail(f"Unexpected: {type(error).__name__}: {error}"[:500])
            return True
        return False

    async def begin(self) -> None:
        """Note which attempt this is: once another has taken its place, it changes nothing any more.

        Raises:
            NotRunning: it was cancelled before.
        """
        async with self._database.session() as session:
            run = await repository.get_run(session, self.id)
        if run is None or run.status != "running":
            raise NotRunning
        self._attempt = run.attempts

    async def note(self, text: str) -> None:
        """Add a line to the log that an operator reads."""
        log.info("training run", run_id=self.id, note=text)
        async with self._database.transaction() as session:
            await repository.note(session, self.id, text)

    async def note_label_quality(self, quality: Mapping[str, LabelQuality]) -> None:
        """Store each labeller's record."""
        async with self._database.transaction() as session:
            await repository.note_label_quality(session, self.id, quality)

    async def report(self, progress: float) -> None:
        """Report progress, 0..1, rate-limited.

        Raises:
            NotRunning: it was cancelled.
        """
        if time.monotonic() - self._reported < REPORT_EVERY_S:
            return
        self._reported = time.monotonic()
        async with self._database.transaction() as session:
            if not await repository.report_progress(session, self.id, progress, attempt=self._attempt):
                raise NotRunning

    async def finish_without_model(self, assignments: Mapping[str, Assignment], reason: str) -> None:
        """Succeed without a model."""
        async with self._database.transaction() as session:
            await repository.note_roles(session, self.id, assignments)
            await repository.note(session, self.id, reason)
            await self._succeed(session, Decision(promoted=False, reasons=[reason]))

    async def finish(
        self,
        judged_against: str,
        manifest: Manifest,
        verdict: Verdict,
        assignments: Mapping[str, Assignment],
        *,
        source: Source,
    ) -> None:
        """Register the model with its verdict, and make it champion if that is good."""
        checks = list(verdict.checks)
        judgement = Judgement(
            good=verdict.good, against=judged_against, reasons=verdict.reasons, checks=checks
        )
        async with self._database.transaction() as session:
            await repository.lock_promotions(session)
            champion = await repository.get_champion(session)
            promoted, reasons = verdict.good, verdict.reasons
            if promoted and (champion is None or champion.version != judged_against):
                promoted = False
                reasons = [*reasons[:-1], "not promoted: another model became the champion meanwhile"]
            await repository.add_model(session, manifest, source=source, run_id=self.id, verdict=judgement)
            await repository.note_roles(session, self.id, assignments)
            for reason in reasons:
                await repository.note(session, self.id, reason)
            if promoted:
                await repository.make_champion(
                    session,
                    manifest.version,
                    kind="run",
                    promoted_by=f"training-run:{self.id}",
                    promoted_at=datetime.now(UTC),
                )
            decision = Decision(promoted=promoted, reasons=reasons, checks=checks)
            await self._succeed(session, decision, model_version=manifest.version)
        if promoted:
            try:
                await self._registry.announce()
            except Exception as error:
                if not isinstance(error, ObjectStoreUnavailable) and not is_passing(error):
                    raise
                log.warning("the promotion waits for the service to announce it", error=str(error))

    async def _succeed(
        self, session: AsyncSession, decision: Decision, *, model_version: str | None = None
    ) -> None:
        if not await repository.move_run(
            session,
            self.id,
            "succeeded",
            attempt=self._attempt,
            decision=decision,
            model_version=model_version,
        ):
            raise NotRunning

    async def _fail(self, error: str) -> None:
        try:
            async with self._database.transaction() as session:
                if await repository.move_run(session, self.id, "failed", attempt=self._attempt, error=error):
                    await repository.note(session, self.id, error)
        except Exception as absent:
            if not is_passing(absent):
                raise
            # Begun anew it fails again, and then says why.
            log.warning("why the run fails could not be stored", run_id=self.id, error=str(absent))
            self.exit_code = RETRY_LATER

    async def _try_to_note(self, text: str) -> None:
        try:
            await self.note(text)
        except Exception as absent:
            if not is_passing(absent):
                raise
            log.warning("a note could not be stored", run_id=self.id, error=str(absent))


def _why_begun_anew(error: BaseException) -> str:
    if isinstance(error, RunInterrupted | SandboxGone):
        return str(error)
    # What the database's library says of it comes with the statement, which tells an operator nothing.
    said = getattr(error, "orig", None) or error
    return f"a server went away: {type(said).__name__}: {said}"[:300]
