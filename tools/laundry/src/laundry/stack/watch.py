"""Keeps processes running: one that ends is restarted, with backoff if it ends quickly.

Whatever fails meanwhile, as on a full disk, is said and tried again: the other processes go on.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
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
    unwritten: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.watched = [Watched(process) for process in self.processes]

    def look(self, now: float | None = None) -> None:
        """Restart ended processes that are due; ``now`` is in seconds of ``time.monotonic``."""
        now = time.monotonic() if now is None else now
        for each in self.watched:
            if each.process.running:
                continue
            try:
                self._attend(each, now)
            except Exception as error:
                delay = self._put_off(each, now)
                self._say(f"{each.process.name} cannot be started, tried again in {delay:.1f} s: {error}")

    def tell_change(self) -> None:
        """Call ``changed``; why it fails is said once, and whoever asks again tries again."""
        try:
            self.changed()
            self.unwritten = ""
        except Exception as error:
            if self.unwritten != str(error):
                self._say(f"the notes on the stack cannot be written: {error}")
            self.unwritten = str(error)

    def _attend(self, each: Watched, now: float) -> None:
        if each.due_at is None:
            self._note_end(each, now)
        elif now >= each.due_at:
            each.process.spawn()
            each.due_at = None
            each.restarts += 1
            self._say(f"{each.process.name} started again (pid {each.process.pid})")
            self.tell_change()

    def _note_end(self, each: Watched, now: float) -> None:
        if time.time() - each.process.started_at >= STEADY_SECONDS:
            each.delay = FIRST_DELAY_SECONDS
        each.last_exit = each.process.exit_status
        each.process.end_remains()
        delay = self._put_off(each, now)
        self._say(
            f"{each.process.name} ended with status {each.last_exit}; starting it again in {delay:.1f} s"
        )
        self.tell_change()

    def _put_off(self, each: Watched, now: float) -> float:
        delay = each.delay
        each.due_at = now + delay
        each.delay = min(delay * 2, LONGEST_DELAY_SECONDS)
        return delay

    def _say(self, text: str) -> None:
        # Its log may be on the same full disk, its terminal closed.
        with suppress(Exception):
            self.say(text)
