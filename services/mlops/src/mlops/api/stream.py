"""Looks up changed training runs, once for all listeners."""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from laundry_service.storage.database import Database
from laundry_service.streams.changes import Audience
from laundry_service.streams.subscription import Change, change_of
from mlops import repository
from mlops.schemas import run_body


def changed_runs(database: Database) -> Callable[[Sequence[str], Audience], Awaitable[Iterable[Change]]]:
    """Make what reads the runs that payloads (their ids) name."""

    async def look_up(run_ids: Sequence[str], _: Audience) -> Iterable[Change]:
        async with database.session() as session:
            runs = await repository.get_runs(session, run_ids)
        return [
            change_of(
                run.id,
                None,
                event="training-run",
                event_id=run.id,
                data=run_body(run).model_dump_json(),
            )
            for run in runs
        ]

    return look_up
