"""What goes away in the middle of a run costs it an attempt, and never what was trained."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import InterfaceError, OperationalError

from laundry_learning.fine_tuning.contract import CHECKPOINT_FILE
from laundry_learning.sandbox.launcher import SandboxGone
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore, ObjectStoreUnavailable
from laundry_testing.serving import ready
from mlops import repository
from mlops.full import job
from mlops.full.comparison import read_candidate
from mlops.full.job import LAID_OUT, Full
from mlops.jobs.run import NotRunning, Run
from mlops.launching.launcher import RETRY_LATER
from mlops.runs import RunError
from mlops.service.registry import Registry
from mlops.settings import Settings

from .conftest import Confirmed, stock

Service = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
GONE = [
    OperationalError("UPDATE training_runs", {}, Exception("terminating connection")),
    InterfaceError("SELECT 1", {}, Exception("connection is closed")),
    # As it comes from a server that is starting: SQLAlchemy passes it on.
    ConnectionRefusedError("Connect call failed"),
    TimeoutError(),
]


class Away:
    """A database that is away."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def transaction(self) -> Any:
        raise self._error

    session = transaction


@pytest.mark.parametrize("gone", GONE, ids=lambda each: type(each).__name__)
async def test_a_run_whose_database_is_away_is_begun_anew_though_that_cannot_be_noted(
    gone: Exception,
) -> None:
    absent: Any = Away(gone)
    for raised in (gone, SandboxGone("the container is gone"), RunError("too few examples")):
        run = Run("run-1", absent, absent)
        async with run:
            raise raised
        # Also of one that fails: begun anew it fails again, and then says why.
        assert run.exit_code == RETRY_LATER


async def test_a_fault_of_our_own_fails_a_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[str] = []

    async def fail(_run: Run, error: str) -> None:
        failed.append(error)

    monkeypatch.setattr(Run, "_fail", fail)
    unused: Any = None
    run = Run("run-1", unused, unused)
    async with run:
        raise KeyError("oops")
    assert (run.exit_code, failed) == (1, ["Unexpected: KeyError: 'oops'"])


class Attempts:
    """Makes one attempt after another at one full run, in this process."""

    def __init__(
        self, settings: Settings, database: Database, store: ObjectStore, registry: Registry, run_id: str
    ) -> None:
        self.run_id = run_id
        self._settings = settings
        self._parts = (database, store, registry)

    @property
    def workdir(self) -> Path:
        assert self._settings.training_work is not None
        return self._settings.training_work / f"run-{self.run_id}"

    async def next(self) -> int:
        database, store, registry = self._parts
        async with database.transaction() as session:
            await repository.move_run(session, self.run_id, "queued")
            await repository.move_run(session, self.run_id, "running")
        run = Run(self.run_id, database, registry)
        async with run:
            await run.begin()
            await Full(run, self._settings, database, store, registry).run()
        return run.exit_code

    async def ended(self) -> tuple[str, list[str]]:
        async with self._parts[0].session() as session:
            run = await repository.get_run(session, self.run_id)
            said = [line.text for line in await repository.run_log(session, self.run_id)]
        assert run is not None
        return run.status, said


@pytest.fixture
def attempts(
    service: Service,
    training: Callable[[str], dict[str, Any]],
    make_settings: Callable[..., Settings],
    database: Database,
    store: ObjectStore,
    registry: Registry,
    confirmed: Confirmed,
) -> Callable[[str], Any]:
    """Queue a full run whose trainer has a mode."""

    async def make(mode: str) -> Attempts:
        await stock(database, store, confirmed, 20)
        settings = make_settings(**training(mode))
        async with service(**training(mode)) as client:
            await ready(client)
        async with database.transaction() as session:
            run_id = (await repository.add_run(session, "full", requested_by="op")).id
        return Attempts(settings, database, store, registry, run_id)

    return make


def raising_once(error: Exception, do: Callable[..., Any], *, at: Callable[..., bool]) -> Callable[..., Any]:
    """Return the function that does the same, but raises once where ``at`` says so."""
    left = [error]

    async def once(*args: Any, **kwargs: Any) -> Any:
        if left and at(*args):
            raise left.pop()
        return await do(*args, **kwargs)

    return once


@pytest.mark.servers
@pytest.mark.parametrize("gone", GONE, ids=lambda each: type(each).__name__)
async def test_a_database_that_goes_away_costs_another_attempt_not_the_training(
    gone: Exception, attempts: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await attempts("die")
    # The trainer leaves a checkpoint, and is killed.
    assert await run.next() == RETRY_LATER
    kept = (run.workdir / CHECKPOINT_FILE).read_text()

    def while_it_trains(_session: Any, _run_id: str, progress: float) -> bool:
        return progress > LAID_OUT

    blip = raising_once(gone, repository.report_progress, at=while_it_trains)
    monkeypatch.setattr(repository, "report_progress", blip)
    monkeypatch.setattr("mlops.jobs.run.REPORT_EVERY_S", 0.0)
    assert await run.next() == RETRY_LATER
    assert (run.workdir / CHECKPOINT_FILE).read_text() == kept
    assert await run.next() == 0
    status, said = await run.ended()
    assert status == "succeeded"
    assert any(line.startswith("a server went away: ") for line in said)
    assert f"began as {kept}, ends as {kept}" in said
    assert not run.workdir.exists()


@pytest.mark.servers
@pytest.mark.parametrize("what", ["store", "container"])
async def test_what_goes_away_after_the_training_costs_another_attempt_not_the_training(
    what: str, attempts: Callable[[str], Any], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await attempts("good")
    with monkeypatch.context() as broken:
        if what == "store":
            told = "the object store stayed away: put: the object store answered 503"
            gone: Exception = ObjectStoreUnavailable("put: the object store answered 503")
            broken.setattr(registry, "upload", raising_once(gone, registry.upload, at=lambda *_: True))
        else:
            told = "the container that reads photos is gone"
            gone = SandboxGone(told)
            broken.setattr(job, "read_candidate", raising_once(gone, read_candidate, at=lambda *_: True))
        assert await run.next() == RETRY_LATER
    assert (run.workdir / "out" / "manifest.json").is_file()
    assert told in (await run.ended())[1]
    assert await run.next() == 0
    assert not run.workdir.exists()
    assert (await run.ended())[0] == "succeeded"


@pytest.mark.servers
async def test_an_attempt_whose_place_another_has_taken_changes_nothing(
    database: Database, registry: Registry
) -> None:
    async with database.transaction() as session:
        run_id = (await repository.add_run(session, "refit", requested_by="op")).id
        await repository.move_run(session, run_id, "running")
    old = Run(run_id, database, registry)
    await old.begin()
    await old.report(0.1)
    async with database.transaction() as session:
        assert await repository.move_run(session, run_id, "queued", attempt=1)
        assert await repository.move_run(session, run_id, "running", attempt=1)
        for late in ("queued", "failed", "succeeded"):
            assert not await repository.move_run(session, run_id, late, attempt=1)
    old._reported = 0.0
    with pytest.raises(NotRunning):
        await old.report(0.9)
    async with old:
        raise RunError("of an attempt that nobody waits for")
    with pytest.raises(NotRunning):
        await old.finish_without_model({}, "nothing to learn")
    async with database.session() as session:
        run = await repository.get_run(session, run_id)
        said = await repository.run_log(session, run_id)
    assert run is not None
    assert (run.status, run.attempts, run.error, run.progress, said) == ("running", 2, None, 0.0, [])


@pytest.mark.servers
async def test_a_run_that_was_cancelled_before_its_process_began_does_nothing(
    database: Database, registry: Registry
) -> None:
    async with database.transaction() as session:
        run_id = (await repository.add_run(session, "refit", requested_by="op")).id
        await repository.move_run(session, run_id, "cancelled")
    run = Run(run_id, database, registry)
    done = asyncio.Event()
    async with run:
        await run.begin()
        done.set()
    assert (run.exit_code, done.is_set()) == (0, False)
