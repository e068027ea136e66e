"""The owner confirms or corrects a reading; the result becomes a training example."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from helper import repository
from helper.tasks import Task, TooLate, Undo, check_labels, confirm, confirmed, take_back
from laundry_events import Outbox, new_id
from laundry_events.events import CountedLabel, TaskConfirmed
from laundry_service.storage.database import Database


class Confirmations:
    """Stores confirmations with their events, in one transaction."""

    def __init__(self, database: Database, outbox: Outbox, known_labels: Sequence[str]) -> None:
        self._database = database
        self._outbox = outbox
        self._known_labels = known_labels

    async def confirm(
        self,
        task_id: str,
        labels: Sequence[CountedLabel],
        *,
        by: str,
        check: Callable[[Task | None], Task],
        undo_s: int = 0,
    ) -> tuple[Task, bool]:
        """Confirm or correct a task.

        Args:
            by: the owner's subject.
            undo_s: so many seconds it can be taken back, and is told to nobody.
            check: returns the task if the caller may confirm it, else raises.

        Returns:
            the task, and whether the same labels were confirmed before.

        Raises:
            UnknownLabels, RepeatedLabels, NotReadYet, AlreadyConfirmed, Withdrawn.
            DatabaseUnavailable: it may not be confirmed; sending it again is safe.
        """
        check_labels(labels, self._known_labels)
        async with repository.transaction(self._database) as session:
            task = check(await repository.find(session, task_id, lock=True))
            after = confirm(task, labels, by=by, at=datetime.now(UTC))
            if after is not task:
                after = await self._announce(session, after, timedelta(seconds=undo_s))
                await repository.change(session, after)
        return after, after is task

    async def take_back(self, task_id: str, *, by: str, check: Callable[[Task | None], Task]) -> Task:
        """Undo a confirmation whose event still waits: event and confirmation go in one transaction.

        Returns:
            the task, waiting for its owner; also if it was not confirmed.

        Raises:
            TooLate, ConfirmedByAnother.
            DatabaseUnavailable: it may not be undone; sending it again is safe.
        """
        async with repository.transaction(self._database) as session:
            task = check(await repository.find(session, task_id, lock=True))
            after = take_back(task, by=by)
            if task.confirmation is not None and task.confirmation.undo is not None:
                event_id = task.confirmation.undo.event_id
                if not await self._outbox.take_back(session, TaskConfirmed, event_id):
                    raise TooLate
                await repository.change(session, after)
        return after

    async def _announce(self, session: AsyncSession, task: Task, undo: timedelta) -> Task:
        if not undo or task.confirmation is None:
            await self._outbox.add(session, confirmed(task))
            return task
        held = Undo(new_id(), await repository.time_of(session) + undo)
        await self._outbox.add(session, confirmed(task), event_id=held.event_id, due=held.until)
        return replace(task, confirmation=replace(task.confirmation, undo=held))
