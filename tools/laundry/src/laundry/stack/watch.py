"""Keeps processes running: one that ends is restarted, with backoff if it ends quickly."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from laundry_servers.process import Process

FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 5.0
STEADY_SECONDS = 30.0


@dataclass(slots=True)
class Watched:
    """A process with the history that its next restart depends on."""

    process: Process
    restarts: int = 0
    delay: float = FIRST_DELAY_SECONDS
    due_at: float | None = None
    last_exit: int | None = None


@dataclass(slots=True)
class Watch:
    """Looks at every process when asked to; ``changed`` is called after each end and each restart."""

    processes: Sequence[Process]
    changed: Callable[[], None]
    say: Callable[[str], None]
    watched: list[Watched] = field(init=False)

    def __post_init__(self) -> None:
        self.watched = [Watched(process) for process in self.processes]

    def look(self, now: float | None = None) -> None:
        """Restart ended processes that are due; ``now`` is in seconds of ``time.monotonic``."""
        now = time.monotonic() if now is None else now
        for each in self.watched:
            if each.process.running:
                continue
            if each.due_at is None:
                self._note_end(each, now)
            elif now >= each.due_at:
                each.due_at = None
                each.restarts += 1
                each.process.spawn()
                self.say(f"{each.process.name} started again (pid {each.process.pid})")
                self.changed()

    def _note_end(self, each: Watched, now: float) -> None:
        if time.time() - each.process.started_at >= STEADY_SECONDS:
            each.delay = FIRST_DELAY_SECONDS
        each.last_exit = each.process.exit_status
        each.process.end_remains()
        each.due_at = now + each.delay
        self.say(
            f"{each.process.name} ended with status {each.last_exit}; starting it again in {each.delay:.1f} s"
        )
        each.delay = min(each.delay * 2, LONGEST_DELAY_SECONDS)
        self.changed()
