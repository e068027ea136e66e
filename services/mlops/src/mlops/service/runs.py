"""What a person does with training runs: start and cancel them, on the record."""

from laundry_service.audit.acts import Act, Actor
from laundry_service.audit.writing import write as write_act
from laundry_service.storage.database import Database
from mlops import repository
from mlops.full.requirements import Requirements, explain
from mlops.runs import Kind, TrainingRun


class NoSuchRun(Exception):
    """There is no run of this id."""


class RunEnded(Exception):
    """The run has ended already."""


class TrainingUnavailable(Exception):
    """Such a run cannot go on here; the text says what is missing."""


class Runs:
    """Queues training runs and cancels them."""

    def __init__(self, database: Database, requirements: Requirements) -> None:
        """Take where runs are kept, and what tells whether a full run could go on."""
        self._database = database
        self._requirements = requirements

    async def start(self, kind: Kind, by: Actor, reason: str | None) -> TrainingRun:
        """Queue a run; they go on one after another.

        Raises:
            TrainingUnavailable: a full run would lack something.
        """
        if kind == "full":
            await self._check_full()
        async with self._database.transaction() as session:
            run = await repository.add_run(session, kind, requested_by=by.by)
            await write_act(session, Act("training-run.start", run.id, by, reason, details={"kind": kind}))
        return run

    async def cancel(self, run_id: str, by: Actor, reason: str | None) -> TrainingRun:
        """Cancel a run that is queued or running; its model, if any, is not kept.

        Raises:
            NoSuchRun, RunEnded: nothing has changed.
        """
        async with self._database.transaction() as session:
            if await repository.get_run(session, run_id) is None:
                raise NoSuchRun(run_id)
            if not await repository.move_run(session, run_id, "cancelled"):
                raise RunEnded(run_id)
            await write_act(session, Act("training-run.cancel", run_id, by, reason))
            run = await repository.get_run(session, run_id)
        assert run is not None
        return run

    async def _check_full(self) -> None:
        async with self._database.session() as session:
            root = await repository.get_root(session)
        if root is None:
            raise TrainingUnavailable("There is no champion to train on. Register a model first.")
        lacking = await self._requirements.lacking(root.manifest)
        if lacking:
            raise TrainingUnavailable(explain(lacking))
