"""Runs queued training runs, one at a time, each as a job outside this process.

A session-level database lock elects the replica that runs them. It is freed when that replica
dies, so the next holder knows that a run still marked running was abandoned: its job is found
again where jobs outlive the service, else the run is started again. It is freed, too, when the
database restarts, so the holder keeps asking for it, and leaves its job once it is gone.
"""

import asyncio
import contextlib
import random
from typing import Any

import asyncpg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from laundry_events import silent_hosts
from laundry_events.dsn import plain_dsn
from laundry_service.background.task import BackgroundTask
from laundry_service.storage.database import Database
from mlops import repository
from mlops.launching.launcher import Job, JobOutcome, Launcher, LaunchError
from mlops.runs import MOST_ATTEMPTS, TrainingRun
from mlops.tables import RUNS_CHANNEL

RUNNER_LOCK = 0x1A0D31
POLL_S = 2.0
LOOK_S = 0.5
"""How often it is looked, while a run goes on, whether it has ended, or the lock is known to be gone."""

ASK_EVERY_S = 3.0
"""How often the database is asked for the lock meanwhile: of some connections nobody says that they broke."""

LEAD_POLL_S = 2.0
"""How often, about, whoever does not lead asks for the lock: to wait for it in the database would be to wait
for ever where the way there has broken without a word.
"""

ANSWERS_WITHIN_S = 30.0
HELD_WITHIN_S = 10.0
"""The answer of a database to the leader: it gives up a host that is silent after 25 s, and another leads."""

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
        self._lock: asyncpg.Connection[Any] | None = None

    async def _connect_and_lead(self) -> None:
        # The lock must also end with a host that vanishes.
        connection = await silent_hosts.connect(
            self._dsn, command_timeout=ANSWERS_WITHIN_S, settings={"application_name": "training-runner"}
        )
        self._lock = connection
        try:
            await connection.add_listener(RUNS_CHANNEL, lambda *_: self._changed.set())
            await self._lead(connection)
        finally:
            if not connection.is_closed():
                with contextlib.suppress(Exception):
                    await connection.close(timeout=2)

    async def _lead(self, connection: "asyncpg.Connection[Any]") -> None:
        # Stays here for as long as another replica leads.
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", RUNNER_LOCK):  # noqa: ASYNC110
            await asyncio.sleep(LEAD_POLL_S * random.uniform(0.5, 1.5))  # noqa: S311 - nothing secret
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
                await self._fail(run.id, run.attempts, str(error))
                continue
            if job is None:
                await self._again(run.id, run.attempts, "the service stopped while this run was going on")
            else:
                log.info("a training run's job is found again", run_id=run.id)
                await self._attend(run.id, run.attempts, job)

    async def _again(self, run_id: str, attempt: int, why: str) -> None:
        """Queue a run again whose process is gone, unless that happened too often.

        Who lost the lock may come late with this: of an attempt that others have begun since it says nothing.
        """
        async with self._database.transaction() as session:
            if attempt >= MOST_ATTEMPTS:
                moved = await repository.move_run(session, run_id, "failed", attempt=attempt, error=GAVE_UP)
            else:
                moved = await repository.move_run(session, run_id, "queued", attempt=attempt)
                if moved:
                    await repository.note(session, run_id, f"{why}; it is started again")
        if moved:
            log.warning("a training run lost its process", run_id=run_id, why=why, attempts=attempt)

    async def _run_one(self, run: TrainingRun) -> None:
        run_id, kind, attempt = run.id, run.kind, run.attempts + 1
        async with self._database.transaction() as session:
            if not await repository.move_run(session, run_id, "running", attempt=run.attempts):
                return
        log.info("a training run begins", run_id=run_id, kind=kind, attempt=attempt)
        launching = asyncio.create_task(self._launcher.launch(run_id, kind, attempt))
        try:
            job = await asyncio.shield(launching)
        except LaunchError as error:
            await self._fail(run_id, attempt, str(error))
            return
        except asyncio.CancelledError:
            # Stopped meanwhile: a job that nobody knows of would be neither watched nor ended.
            with contextlib.suppress(LaunchError):
                await self._leave(run_id, attempt, await launching, "the service stopped")
            raise
        await self._attend(run_id, attempt, job)

    async def _attend(self, run_id: str, attempt: int, job: Job) -> None:
        """Watch a job and record how it ended."""
        try:
            ended = await self._watch(job, run_id)
        except BaseException as error:
            why = "stopped" if isinstance(error, asyncio.CancelledError) else "lost hold of it"
            await self._leave(run_id, attempt, job, f"the service {why}")
            raise
        if ended.error is not None:
            await self._fail(run_id, attempt, ended.error)
        elif ended.lost is not None:
            await self._again(run_id, attempt, ended.lost)
        log.info("a training run ended", run_id=run_id, error=ended.error, lost=ended.lost)

    async def _leave(self, run_id: str, attempt: int, job: Job, why: str) -> None:
        """End a job that cannot outlive this process, and queue its run for whoever leads next."""
        if not self._launcher.outlive:
            await job.end()
            with contextlib.suppress(Exception):
                await asyncio.shield(self._again(run_id, attempt, why))

    async def _watch(self, job: Job, run_id: str) -> JobOutcome:
        """Wait for the job's end, and end it if it takes too long or is not wanted any more.

        Raises:
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: the lock is lost; another may have it.
        """
        assert self._lock is not None
        clock = asyncio.get_running_loop().time
        waiting = asyncio.ensure_future(job.wait())
        deadline, asked = clock() + self._timeout_s, clock()
        try:
            while True:
                await asyncio.wait({waiting}, timeout=LOOK_S)
                if waiting.done():
                    return waiting.result()
                if clock() > deadline:
                    await job.end()
                    return JobOutcome(error=f"The run took longer than {self._timeout_s:g} s and was ended.")
                if self._lock.is_closed() or clock() - asked > ASK_EVERY_S:
                    await self._lock.execute("SELECT 1", timeout=HELD_WITHIN_S)
                    asked = clock()
                if self._changed.is_set():
                    self._changed.clear()
                    async with self._database.session() as session:
                        run = await repository.get_run(session, run_id)
                    if run is not None and run.status == "cancelled":
                        await job.end()
                        return JobOutcome()
        finally:
            waiting.cancel()

    async def _fail(self, run_id: str, attempt: int, error: str) -> None:
        async with self._database.transaction() as session:
            if await repository.move_run(session, run_id, "failed", attempt=attempt, error=error):
                await repository.note(session, run_id, error)
