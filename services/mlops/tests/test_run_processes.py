"""The processes of training runs: how they end, and who takes a run up again."""

import asyncio
import sys

import psutil
import pytest
import sqlalchemy as sa

from laundry_service.storage.database import Database
from laundry_testing.messaging import eventually
from mlops import repository
from mlops.launching.launcher import Job
from mlops.launching.processes import Processes
from mlops.runs import MOST_ATTEMPTS
from mlops.service import runner as runners
from mlops.service.runner import GAVE_UP, RUNNER_LOCK, Runner

pytestmark = pytest.mark.servers


def sleeping_job(run_id: str, kind: str) -> list[str]:
    return [sys.executable, "-c", "import sys; sys.stdin.read()"]


def odd_job(run_id: str, kind: str) -> list[str]:
    return [sys.executable, "-c", "raise SystemExit(7)"]


def dying_job(run_id: str, kind: str) -> list[str]:
    return [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]


def named_job(run_id: str, kind: str) -> list[str]:
    return [*sleeping_job(run_id, kind), run_id]


def processes_of(run_id: str) -> int:
    return sum(_is_of(child, run_id) for child in psutil.Process().children())


def _is_of(child: psutil.Process, run_id: str) -> bool:
    try:
        return child.status() != psutil.STATUS_ZOMBIE and run_id in child.cmdline()
    except psutil.NoSuchProcess:
        return False


HOLDS = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = :lock "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
WAITS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
    "AND query LIKE '%pg_try_advisory_lock%' AND pid NOT IN (SELECT pid FROM pg_locks "
    "WHERE locktype = 'advisory' AND objid = :lock) AND application_name = 'training-runner'"
)


async def pids(database: Database, query: str) -> list[int]:
    async with database.session() as session:
        return list((await session.execute(sa.text(query), {"lock": RUNNER_LOCK})).scalars())


async def status_of(database: Database, run_id: str) -> tuple[str, str | None]:
    async with database.session() as session:
        run = await repository.get_run(session, run_id)
    assert run is not None
    return run.status, run.error


async def reaches(database: Database, run_id: str, status: str) -> None:
    async def asked() -> bool:
        return (await status_of(database, run_id))[0] == status

    await eventually(asked, what=f"the run {status}")


async def queued(database: Database) -> str:
    async with database.transaction() as session:
        return (await repository.add_run(session, "refit", requested_by="op")).id


async def test_a_process_that_takes_too_long_or_ends_oddly_is_a_failed_run(
    database: Database, database_url: str
) -> None:
    for command, timeout_s, told in ((odd_job, 60, "exit code 7"), (sleeping_job, 0.6, "longer than")):
        run_id = await queued(database)
        runner = Runner(database, database_url, Processes(command=command), timeout_s=timeout_s)
        await runner.start()
        await reaches(database, run_id, "failed")
        await runner.stop()
        assert told in str((await status_of(database, run_id))[1])


async def test_a_run_whose_process_is_killed_is_begun_anew_but_not_for_ever(
    database: Database, database_url: str
) -> None:
    run_id = await queued(database)
    runner = Runner(database, database_url, Processes(command=dying_job), timeout_s=60)
    await runner.start()
    await reaches(database, run_id, "failed")
    await runner.stop()
    async with database.session() as session:
        run = await repository.get_run(session, run_id)
        said = [line.text for line in await repository.run_log(session, run_id)]
    assert run is not None
    assert (run.attempts, run.error) == (MOST_ATTEMPTS, GAVE_UP)
    assert said == ["the training process was killed by signal 9; it is started again"] * (MOST_ATTEMPTS - 1)


async def test_a_run_left_behind_by_a_dead_service_is_taken_up_again(
    database: Database, database_url: str
) -> None:
    left = await queued(database)
    async with database.transaction() as session:
        await repository.move_run(session, left, "running")
    for attempt in (2, 3):
        runner = Runner(database, database_url, Processes(command=sleeping_job), timeout_s=60)
        await runner.start()

        async def again(attempt: int = attempt) -> bool:
            async with database.session() as session:
                run = await repository.get_run(session, left)
            return run is not None and (run.status, run.attempts) == ("running", attempt)

        await eventually(again, what=f"attempt {attempt}")
        if attempt == 2:
            # Stopping the service ends the process and leaves the run to whoever leads next.
            await runner.stop()
            assert await status_of(database, left) == ("queued", None)
    await runner.stop()
    assert await status_of(database, left) == ("failed", GAVE_UP)


class Slow(Processes):
    """Starts a process only when it is told to."""

    def __init__(self) -> None:
        super().__init__(command=sleeping_job)
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def launch(self, run_id: str, kind: str, attempt: int) -> Job:
        self.asked.set()
        await self.go.wait()
        return await super().launch(run_id, kind, attempt)


async def test_a_service_that_stops_while_a_process_starts_leaves_neither_it_nor_its_run(
    database: Database, database_url: str
) -> None:
    run_id, launcher = await queued(database), Slow()
    runner = Runner(database, database_url, launcher, timeout_s=60)
    await runner.start()
    async with asyncio.timeout(30):
        await launcher.asked.wait()
        stopping = asyncio.create_task(runner.stop())
        await asyncio.sleep(0.1)
        assert not stopping.done()
        launcher.go.set()
        await stopping
    assert await status_of(database, run_id) == ("queued", None)
    job = sleeping_job(run_id, "refit")
    assert job not in [child.cmdline() for child in psutil.Process().children() if child.is_running()]


async def test_cancelling_a_running_run_ends_its_process(database: Database, database_url: str) -> None:
    run_id, next_id = await queued(database), await queued(database)
    runner = Runner(database, database_url, Processes(command=sleeping_job), timeout_s=60)
    await runner.start()
    await reaches(database, run_id, "running")
    async with database.transaction() as session:
        assert await repository.move_run(session, run_id, "cancelled")
    # Runs go one after another: the next one begins once the process has ended.
    await reaches(database, next_id, "running")
    await runner.stop()
    assert await status_of(database, run_id) == ("cancelled", None)


async def test_of_two_services_one_runs_and_the_other_leaves_its_runs_alone(
    database: Database, database_url: str
) -> None:
    first, second = (
        Runner(database, database_url, Processes(command=sleeping_job), timeout_s=60) for _ in range(2)
    )
    run_id, next_id = await queued(database), await queued(database)
    await first.start()
    await reaches(database, run_id, "running")
    await second.start()

    async def waits() -> bool:
        return bool(await pids(database, WAITS))

    await eventually(waits, what="the second service waiting")
    assert (await status_of(database, run_id))[0] == "running"
    assert (await status_of(database, next_id))[0] == "queued"
    await first.stop()
    # The second takes up what the first was running.
    await reaches(database, run_id, "running")
    assert (await status_of(database, next_id))[0] == "queued"
    await second.stop()


@pytest.mark.parametrize("told", [True, False], ids=["closed", "broken without a word"])
async def test_who_loses_the_lock_leaves_its_run_to_who_has_it(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch, *, told: bool
) -> None:
    if not told:
        # As where a machine between them is gone: the driver learns of it when it asks.
        monkeypatch.setattr(runners, "ASK_EVERY_S", 0.0)
        monkeypatch.setattr("asyncpg.Connection.is_closed", lambda _: False)
    first, second = (
        Runner(database, database_url, Processes(command=named_job), timeout_s=60) for _ in range(2)
    )
    run_id = await queued(database)
    await first.start()
    await reaches(database, run_id, "running")
    await second.start()

    async def one_waits() -> bool:
        return len(await pids(database, WAITS)) == 1

    await eventually(one_waits, what="the second service waiting")
    [holder] = await pids(database, HOLDS)
    # As a restart of the database does it to all.
    async with database.session() as session:
        await session.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": holder})

    async def taken_over() -> bool:
        # The first waits in turn, so it has left what it had.
        holders = await pids(database, HOLDS)
        return holder not in holders and len(holders) == 1 and await one_waits()

    await eventually(taken_over, what="the first service waiting")
    await reaches(database, run_id, "running")
    await eventually(lambda: processes_of(run_id) == 1, what="one process of the run")
    async with database.session() as session:
        run = await repository.get_run(session, run_id)
    assert run is not None
    assert (run.status, run.attempts) == ("running", 2)
    for runner in (first, second):
        await runner.stop()
    assert processes_of(run_id) == 0


async def test_what_a_former_leader_says_of_an_attempt_counts_for_no_other(
    database: Database, database_url: str
) -> None:
    run_id = await queued(database)
    async with database.transaction() as session:
        for _ in range(2):
            await repository.move_run(session, run_id, "running")
            await repository.move_run(session, run_id, "queued")
        await repository.move_run(session, run_id, "running")
    late = Runner(database, database_url, Processes(command=sleeping_job), timeout_s=60)
    for attempt in (1, 2):
        await late._again(run_id, attempt, "the training job was deleted")
        await late._fail(run_id, attempt, "OOMKilled")
    assert await status_of(database, run_id) == ("running", None)
    async with database.session() as session:
        assert await repository.run_log(session, run_id) == []
    await late._again(run_id, 3, "the training job was deleted")
    assert await status_of(database, run_id) == ("failed", GAVE_UP)
