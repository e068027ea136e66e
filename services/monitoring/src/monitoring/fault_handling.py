"""How people handle a fault: told, acknowledged or passed on, closed. Pure rules.

Only the equipment closes a fault, by being well again or by leaving. An acknowledgement says who takes care
of it until then, so that nobody else is told.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Handling = Literal["open", "acknowledged", "escalated", "closed"]


@dataclass(frozen=True)
class EscalationPolicy:
    """When a fault that nobody acknowledges is passed on.

    Attributes:
        after: so long after people were told, and again after each time; zero: never.
        at_most: so many times.
    """

    after: timedelta = timedelta(minutes=10)
    at_most: int = 5

    @property
    def first_after(self) -> timedelta | None:
        """How long after people were told it is passed on first; ``None``: never."""
        return self.after or None


def handling_of(
    *, cleared_at: datetime | None, acknowledged_at: datetime | None, escalation: int
) -> Handling:
    """Return how far a fault has come."""
    if cleared_at is not None:
        return "closed"
    if acknowledged_at is not None:
        return "acknowledged"
    return "escalated" if escalation else "open"
