"""Programs that another process forks for this one: how to ask for one, and to wait for it."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

POLL_S = 0.02
UNKNOWN = 255


class NotForked(Exception):
    """There is no fork server, or it does not answer; a program must be started the usual way."""


@dataclass(slots=True)
class Forked:
    """A forked program, adopted by this process; to be waited for like a ``subprocess.Popen``."""

    pid: int
    returncode: int | None = field(default=None, init=False)

    def poll(self) -> int | None:
        """Return the exit status (negative: the signal), None while it runs."""
        if self.returncode is None:
            try:
                ended, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self.returncode = UNKNOWN
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for the end for ``timeout`` seconds. Raises subprocess.TimeoutExpired."""
        end = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(POLL_S)
        return status


class Forks(Protocol):
    """Something that forks programs."""

    def fork(self, module: str, arguments: Sequence[str], environment: Mapping[str, str], log: int) -> Forked:
        """Run ``python -m module arguments``, its output going to the open file ``log``. Raises NotForked.

        It leads a session, has nothing to read, and gets SIGKILL when this process dies.
        """
