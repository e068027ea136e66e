"""The owner confirms or corrects a reading; the result becomes a training example."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from helper import repository
from helper.tasks import Task, check_labels, confirm, confirmed
from laundry_events import Outbox
from laundry_events.events import CountedLabel
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
    ) -> tuple[Task, bool]:
        """Confirm or correct a task.

        Args:
            by: the owner's subject.
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
                await repository.change(session, after)
                await self._outbox.add(session, confirmed(after))
        return after, after is task
