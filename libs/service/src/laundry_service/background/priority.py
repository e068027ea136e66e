"""Lowers the priority of background work, also where niceness alone has no effect."""

import os
import time
from contextlib import suppress
from pathlib import Path

AGAIN_S = 0.11
"""The kernel takes one change of an autogroup in a tenth of a second from who is not root (sched(7))."""

TRIES = 20


def give_way(niceness: int, pid: int | None = None) -> None:
    """Lower the priority of a process that leads a session, and of its session.

    With autogroup scheduling, Linux's default outside cgroups, ``nice`` weighs a process only against those
    of its own session; sessions share the cores alike until told otherwise. Where there is no autogroup,
    the process's own niceness counts.

    Args:
        niceness: 0 to 19; a process with a lower priority already keeps it.
        pid: of which process, before it has threads; default: this one.
    """
    who = os.getpid() if pid is None else pid
    with suppress(ProcessLookupError):
        # Never up, which only root may.
        niceness = max(niceness, os.getpriority(os.PRIO_PROCESS, who))
        os.setpriority(os.PRIO_PROCESS, who, niceness)
        if os.getsid(who) != who:
            return  # the session's others would give way too
    for _ in range(TRIES):
        try:
            Path(f"/proc/{who}/autogroup").write_text(str(niceness))
        except BlockingIOError:
            time.sleep(AGAIN_S)
        except OSError:
            return
        else:
            return
