"""Runs queued training runs, one at a time, each as a job outside this process.

A session-level database lock elects the replica that runs them. It is freed when that replica
dies, so the next holder knows that a run still marked running was abandoned: its job is found
again where jobs outlive the service, else the run is started again.
"""

import asyncio
import contextlib
from typing import Any

import asyncpg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from laundry_events.dsn import plain_dsn
from laundry_service.background.task import BackgroundTask
from laundry_service.storage.database import Database
from mlops import repository
from mlops.launching.launcher import Job, JobOutcome, Launcher, LaunchError
from mlops.runs import MOST_ATTEMPTS, TrainingRun
from mlops.tables import RUNS_CHANNEL

RUNNER_LOCK = 0x1A0D31
POLL_S = 2.0
LEAD_WAIT_S = 86400.0
GAVE_UP = f"The run was begun {MOST_ATTEMPTS} times and lost each time; the log says why. Start it again."

log = structlog.get_logger(__name__)


class Runner(BackgroundTask):
    """Waits for queued runs and runs them, while it leads.

    ``stop`` leaves the current run to the next leader: it is started again unless its job outlives this.
    """

    def __init__(
        self, database: Database, database_url: str, launcher: Launcher, *, timeout_s: float
    ) -> None:
        """Take the database, who starts jobs, and how long a run may take."""
        super().__init__(
            "training-runner",
            self._connect_and_lead,
            every_s=POLL_S,
            expected=(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError),
            waiting="the training runner lost its database",
            failed="the training runner failed",
        )
        self._database = database
        self._dsn = plain_dsn(database_url)
        self._launcher = launcher
        self._timeout_s = timeout_s
        self._changed = asyncio.Event()

    async def _connect_and_lead(self) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=5, command_timeout=30)
        try:
            await connection.add_listener(RUNS_CHANNEL, lambda *_: self._changed.set())
            await self._lead(connection)
        finally:
            if not connection.is_closed():
                with contextlib.suppress(Exception):
                    await connection.close(timeout=2)

    async def _lead(self, connection: "asyncpg.Connection[Any]") -> None:
        # Waits here for as long as another replica leads.
        await connection.execute(f"SELECT pg_advisory_lock({RUNNER_LOCK})", timeout=LEAD_WAIT_S)
        await self._take_up_abandoned()
        while True:
            self._changed.clear()
            # Also notices when the connection, and with it the lock, is lost.
            await connection.execute("SELECT 1")
            async with self._database.session() as session:
                queued = await repository.open_runs(session, "queued")
            if queued:
                await self._run_one(queued[0])
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._changed.wait()

    async def _take_up_abandoned(self) -> None:
        async with self._database.session() as session:
            abandoned = await repository.open_runs(session, "running")
        for run in abandoned:
            try:
                job = await self._launcher.find(run.id, run.kind, run.attempts)
            except LaunchError as error:
                await self._fail(run.id, str(error))
                continue
            if job is None:
                await self._again(run.id, "the service stopped while this run was going on")
            else:
                log.info("a training run's job is found again", run_id=run.id)
                await self._attend(run.id, job)

    async def _again(self, run_id: str, why: str) -> None:
        """Queue a run again whose process is gone, unless that happened too often."""
        async with self._database.transaction() as session:
            run = await repository.get_run(session, run_id)
            if run is None or run.status != "running":
                return
            if run.attempts >= MOST_ATTEMPTS:
                await repository.move_run(session, run_id, "failed", error=GAVE_UP)
            elif await repository.move_run(session, run_id, "queued"):
                await repository.note(session, run_id, f"{why}; it is started again")
        log.warning("a training run lost its process", run_id=run_id, why=why, attempts=run.attempts)

    async def _run_one(self, run: TrainingRun) -> None:
        run_id, kind, attempt = run.id, run.kind, run.attempts + 1
        async with self._database.transaction() as session:
            if not await repository.move_run(session, run_id, "running"):
                return
        log.info("a training run begins", run_id=run_id, kind=kind, attempt=attempt)
        launching = asyncio.create_task(self._launcher.launch(run_id, kind, attempt))
        try:
            job = await asyncio.shield(launching)
        except LaunchError as error:
            await self._fail(run_id, str(error))
            return
        except asyncio.CancelledError:
            # Stopped meanwhile: a job that nobody knows of would be neither watched nor ended.
            with contextlib.suppress(LaunchError):
                await self._leave(run_id, await launching)
            raise
        await self._attend(run_id, job)

    async def _attend(self, run_id: str, job: Job) -> None:
        """Watch a job and record how it ended."""
        try:
            ended = await self._watch(job, run_id)
        except BaseException:
            await self._leave(run_id, job)
            raise
        if ended.error is not None:
            await self._fail(run_id, ended.error)
        elif ended.lost is not None:
            await self._again(run_id, ended.lost)
        log.info("a training run ended", run_id=run_id, error=ended.error, lost=ended.lost)

    async def _leave(self, run_id: str, job: Job) -> None:
        """End a job that cannot outlive this process, and queue its run for whoever leads next."""
        if not self._launcher.outlive:
            await job.end()
            with contextlib.suppress(Exception):
                await asyncio.shield(self._again(run_id, "the service stopped"))

    async def _watch(self, job: Job, run_id: str) -> JobOutcome:
        """Wait for the job's end, and end it if it takes too long or is not wanted any more."""
        waiting = asyncio.ensure_future(job.wait())
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        try:
            while True:
                await asyncio.wait({waiting}, timeout=0.5)
                if waiting.done():
                    return waiting.result()
                if asyncio.get_running_loop().time() > deadline:
                    await job.end()
                    return JobOutcome(error=f"The run took longer than {self._timeout_s:g} s and was ended.")
                if self._changed.is_set():
                    self._changed.clear()
                    async with self._database.session() as session:
                        run = await repository.get_run(session, run_id)
                    if run is not None and run.status == "cancelled":
                        await job.end()
                        return JobOutcome()
        finally:
            waiting.cancel()

    async def _fail(self, run_id: str, error: str) -> None:
        async with self._database.transaction() as session:
            if await repository.move_run(session, run_id, "failed", error=error):
                await repository.note(session, run_id, error)
