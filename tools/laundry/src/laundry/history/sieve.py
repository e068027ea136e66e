"""Lets go of what had its effect while the history is read: however long that is, what is left is little."""

from collections.abc import Sequence

from laundry.history.effects import Places, Task, by_queue, done_in, is_answer, is_judged
from laundry.history.log import Outline

AT_ONCE = 20_000


class Sieve:
    """Events that had no effect yet.

    Attributes:
        left: those, in the order in which they came.
        answers: readings of photos whose submission has not come; events close in time come in any order.
    """

    def __init__(self, places: Places, *, at_once: int = AT_ONCE) -> None:
        """Look into inboxes for so many events together."""
        self.left: list[Outline] = []
        self.answers: set[Task] = set()
        self._places = places
        self._at_once = at_once
        self._some: list[Outline] = []

    async def take(self, events: Sequence[Outline]) -> None:
        """Add events. Raises LaundryError if a database does not answer."""
        self._some += events
        if len(self._some) >= self._at_once:
            await self.sift()

    async def sift(self) -> None:
        """Let go of what had its effect by now. Raises LaundryError if a database does not answer."""
        some, self._some = self._some, []
        self.answers |= {each.task for each in some if each.task and is_answer(each)}
        # Readings come after their photos.
        read = [each for each in self.left if each.task in self.answers and not is_answer(each)]
        waits: set[str] = set()
        for queue, mine in by_queue([*read, *some], self._places.plan):
            if is_judged(queue, self._places):
                done = await done_in(queue, mine, self._places, self.answers)
                waits |= {each.id for each in mine if each.id not in done}
        self.answers -= {each.task for each in [*read, *some] if each.task and not is_answer(each)}
        gone = {each.id for each in read} - waits
        self.left = [each for each in self.left if each.id not in gone]
        self.left += [each for each in some if each.id in waits]
