"""The invariants after every fault, and the wording of breaches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from laundry_events.topology import PLAN

NAMED = 3

MAX_ATTEMPTS = max(queue.max_attempts for queue in PLAN.queues)


@dataclass
class Findings:
    """The comparison of ledger and system, once nothing is in flight any more.

    Counts are of the whole run; lists name what is new since the fault before, so that each breach stands
    with the fault that made it.

    Attributes:
        accepted: promised photos, by the ledger alone.
        done: those of them that are read, by the helper's table.
        dead: those that are not, and have a dead letter of this run.
        pending: photos and readings in queues and outboxes, counted there.
        strange: tasks that were never promised.
        lost: promised photos that are neither read nor dead, with nothing pending.
        killed: dead letters other than those a fault meant to die.
        doubled: effects that happened more than once.
        silent: other promises without their effect: alerts, examples, recommendations.
        repeated: alerts and recommendations that came twice.
        unserved: queues with waiting messages or without a consumer.
        most_attempts: of any message in this run, as dead letters and the services' logs tell.
        settled_s: seconds from the end of the fault until everything was quiet; None if it never was.
        load: why a kind of load ended before its time; then its promises were not put to the test.
    """

    accepted: int = 0
    done: int = 0
    dead: int = 0
    pending: int = 0
    strange: int = 0
    promises: Mapping[str, int] = field(default_factory=dict)
    lost: Sequence[str] = ()
    killed: Sequence[str] = ()
    doubled: Sequence[str] = ()
    silent: Sequence[str] = ()
    repeated: Sequence[str] = ()
    unserved: Sequence[str] = ()
    most_attempts: int = 0
    settled_s: float | None = None
    waited_s: float = 0.0
    load: Sequence[str] = ()

    @property
    def problems(self) -> list[str]:
        """Describe every broken invariant."""
        found = [f"the load ended: {why}" for why in self.load]
        if self.settled_s is None:
            found.append(f"not quiet within {self.waited_s:.0f} s")
        if self.lost:
            found.append(
                f"{self.accepted} accepted ≠ {self.done} done + {self.dead} dead + {self.pending} pending"
            )
        if self.pending:
            found.append(f"{self.pending} photos or readings still wait")
        if self.strange:
            found.append(f"{self.strange} tasks that nobody was promised")
        for names, text in (
            (self.lost, "accepted and nowhere"),
            (self.killed, "died and should not have"),
            (self.doubled, "effects had twice"),
            (self.silent, "promises without their effect"),
            (self.repeated, "told twice"),
        ):
            if names:
                found.append(f"{len(names)} {text}: {_some(names)}")
        if self.most_attempts > MAX_ATTEMPTS:
            found.append(f"{self.most_attempts} attempts")
        return found + [f"{name} is not served" for name in self.unserved]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
