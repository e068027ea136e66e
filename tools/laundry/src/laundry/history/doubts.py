"""What had no effect at one look, and whether that stays so.

At each look as many of the newest as wait in a queue may be what waits there. Under load something always
waits, but soon something else: what is lost stands there without such an excuse in some look or other, and
what waits does not.
"""

from collections import Counter

from laundry.history.effects import Effects, State

Place = tuple[str, str]
SURE = 2
"""So many looks without an excuse are enough."""


class Doubts:
    """The events, by queue and id, that had no effect at any look so far."""

    def __init__(self, first: Effects) -> None:
        """Begin with a look at everything."""
        self._first = first
        self._open = first.unhandled | first.excused
        self._seen = Counter(first.unhandled)

    @property
    def places(self) -> set[Place]:
        """Those of which another look would tell more."""
        return {place for place in self._open if self._seen[place] < SURE}

    def look(self, again: Effects) -> None:
        """Take a later look at ``places``; of others it says nothing."""
        for place in self.places:
            state: State = again.states.get(place, "unknown")
            self._first.states[place] = state
            if state == "unhandled":
                self._seen[place] += 1
            elif place not in again.excused:
                self._open.remove(place)

    def settle(self) -> Effects:
        """Return the first look, with what the others told."""
        for place in self._open:
            if self._seen[place] >= SURE:
                self._first.states[place] = "unhandled"
            elif self._first.states[place] == "unhandled":
                self._first.states[place] = "waits"
        return self._first
