"""Looks up changed tasks, once for all listeners."""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from helper import repository
from helper.repository import lists
from helper.schemas import TaskBody
from helper.tasks import Task
from laundry_service.storage.database import Database
from laundry_service.streams.changes import Audience
from laundry_service.streams.subscription import Change, change_of


def changed_tasks(database: Database) -> Callable[[Sequence[str], Audience], Awaitable[Iterable[Change]]]:
    """Make what reads the tasks that payloads (``<id> <branch>``) name."""

    async def look_up(payloads: Sequence[str], audience: Audience) -> Iterable[Change]:
        named = dict(payload.split(" ", 1) for payload in payloads if " " in payload)
        wanted = [task_id for task_id, branch_id in named.items() if audience.hears(branch_id)]
        if not wanted:
            return []
        async with repository.single(database) as connection:
            return [_told(task) for task in await lists.find_all(connection, wanted)]

    return look_up


def _told(task: Task) -> Change:
    return change_of(
        task.id,
        task.branch_id,
        event="task",
        event_id=f"{task.id}:{task.version}",
        data=TaskBody.of(task).model_dump_json(),
    )
