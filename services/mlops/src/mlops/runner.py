"""Runs queued training runs, one at a time, each in a process of its own.

A lock that belongs to a database connection says which replica runs them. It is freed when that replica
dies, so whoever gets it knows that a run which is still called running was abandoned.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from laundry_events.relay import plain_dsn
from laundry_service.database import Database
from mlops import repository
from mlops.runs import MOST_ATTEMPTS
from mlops.tables import RUNS_CHANNEL

RUNNER_LOCK = 0x1A0D31
POLL_S = 2.0
KILL_AFTER_S = 5.0
ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
LEAD_WAIT_S = 86400.0
GAVE_UP = f"The training process died {MOST_ATTEMPTS} times; the log says how far it came. Start it again."

log = structlog.get_logger(__name__)


def job_command(run_id: str) -> Sequence[str]:
    """The command of a run's process; it reads the same environment as the service."""
    return (sys.executable, "-m", "mlops.refit", run_id)


class Runner:
    """Waits for queued runs and runs them."""

    def __init__(
        self,
        database: Database,
        database_url: str,
        *,
        timeout_s: float,
        environment: dict[str, str] | None = None,
        command: Callable[[str], Sequence[str]] = job_command,
    ) -> None:
        """Take the database and how long a run may take."""
        self._database = database
        self._dsn = plain_dsn(database_url)
        self._timeout_s = timeout_s
        self._environment = environment
        self._command = command
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to wait for runs in the background."""
        self._task = asyncio.create_task(self._run(), name="training-runner")

    async def stop(self) -> None:
        """End the process in hand and stop; its run is begun anew by whoever leads next."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            connection: asyncpg.Connection[Any] | None = None
            try:
                connection = await asyncpg.connect(self._dsn, timeout=5, command_timeout=30)
                await connection.add_listener(RUNS_CHANNEL, lambda *_: self._wake.set())
                await self._lead(connection)
            except (
                OSError,
                TimeoutError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                SQLAlchemyError,
            ) as error:
                log.warning(
                    "the training runner lost its database", error=f"{type(error).__name__}: {error}"[:300]
                )
            except Exception:
                log.exception("the training runner failed")
            finally:
                if connection is not None and not connection.is_closed():
                    with contextlib.suppress(Exception):
                        await connection.close(timeout=2)
            await asyncio.sleep(POLL_S)

    async def _lead(self, connection: "asyncpg.Connection[Any]") -> None:
        # Waits here for as long as another replica leads.
        await connection.execute(f"SELECT pg_advisory_lock({RUNNER_LOCK})", timeout=LEAD_WAIT_S)
        await self._take_up_abandoned()
        while True:
            self._wake.clear()
            # Also tells when the connection, and with it the lock, is gone.
            await connection.execute("SELECT 1")
            async with self._database.session() as session:
                queued = await repository.open_runs(session, "queued")
            if queued:
                await self._run_one(queued[0]["id"], queued[0]["kind"])
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()

    async def _take_up_abandoned(self) -> None:
        async with self._database.session() as session:
            abandoned = await repository.open_runs(session, "running")
        for run in abandoned:
            await self._again(run["id"], "the service stopped while this run was going on")

    async def _again(self, run_id: str, why: str) -> None:
        """Queue a run whose process is gone anew, unless that happened too often."""
        async with self._database.transaction() as session:
            run = await repository.get_run(session, run_id)
            if run is None or run["status"] != "running":
                return
            if run["attempts"] >= MOST_ATTEMPTS:
                await repository.move_run(session, run_id, "failed", error=GAVE_UP)
            elif await repository.move_run(session, run_id, "queued"):
                await repository.note(session, run_id, f"{why}; it is begun anew")
        log.warning("a training run lost its process", run_id=run_id, why=why, attempts=run["attempts"])

    async def _run_one(self, run_id: str, kind: str) -> None:
        async with self._database.transaction() as session:
            if not await repository.move_run(session, run_id, "running"):
                return
        log.info("a training run begins", run_id=run_id, kind=kind)
        # The job ends when its standard input does: it never outlives this process.
        process = await asyncio.create_subprocess_exec(
            *self._command(run_id),
            stdin=asyncio.subprocess.PIPE,
            env={**os.environ, **(self._environment or {}), **ONE_CORE},
        )
        try:
            error = await self._watch(process, run_id)
        except BaseException:
            await _end(process)
            with contextlib.suppress(Exception):
                await asyncio.shield(self._again(run_id, "the service stopped"))
            raise
        if error is not None:
            await self._fail(run_id, error)
        elif process.returncode is not None and process.returncode < 0:
            # Killed, by a person or for want of memory: the steps done are kept, so trying again is cheap.
            await self._again(run_id, f"the training process was killed by signal {-process.returncode}")
        log.info("a training run ended", run_id=run_id, exit_code=process.returncode)

    async def _watch(self, process: asyncio.subprocess.Process, run_id: str) -> str | None:
        """Wait for the job's end; returns what is wrong, if anything."""
        ended = asyncio.ensure_future(process.wait())
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=0.5)
                if ended.done():
                    break
                if asyncio.get_running_loop().time() > deadline:
                    await _end(process)
                    return f"The run took longer than {self._timeout_s:g} s and was ended."
                if self._wake.is_set():
                    self._wake.clear()
                    async with self._database.session() as session:
                        run = await repository.get_run(session, run_id)
                    if run is not None and run["status"] == "cancelled":
                        await _end(process)
                        return None
        finally:
            ended.cancel()
        if process.returncode is not None and process.returncode <= 0:
            return None
        return f"The training process ended unexpectedly (exit code {process.returncode})."

    async def _fail(self, run_id: str, error: str) -> None:
        async with self._database.transaction() as session:
            await repository.move_run(session, run_id, "failed", error=error)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(KILL_AFTER_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
