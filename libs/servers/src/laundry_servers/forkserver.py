"""Starts Python programs by forking a process that has imported their libraries, whose memory they share.

``multiprocessing`` has a fork server, too. Its children are not children of the one who asks, end with the
fork server instead of with him, and import the main module of his program.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from laundry_servers.forking import Forked, NotForked
from laundry_servers.process import Process

ANSWER_S = 30.0
# ps and /proc show a program's command and environment where the fork server's own lie: there must be room.
ROOM = {"LAUNDRY_FORK_SERVER": "." * 32_768}
# What Python itself reads from the environment counts as it was when the fork server began.
UNBUFFERED = {"PYTHONUNBUFFERED": "1"}


@dataclass(slots=True)
class ForkServer(Process):
    """The fork server's process, and how it is asked. Who starts it must adopt orphans first."""

    orders: socket.socket | None = field(default=None, repr=False)

    def _executed(
        self, environment: Mapping[str, str], log: int, given: int | None = None
    ) -> subprocess.Popen[bytes]:
        self.orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.orders.settimeout(ANSWER_S)
        with theirs:
            return Process._executed(self, environment, log, given=theirs.fileno())

    def fork(self, module: str, arguments: Sequence[str], environment: Mapping[str, str], log: int) -> Forked:
        """Run ``python -m module arguments``, as ``Forks`` says."""
        order = {
            "module": module,
            "arguments": list(arguments),
            "environment": dict(environment),
            "parent": os.getpid(),
        }
        if self.orders is None:
            raise NotForked(f"{self.name} was not started")
        try:
            with Path(os.devnull).open("rb") as nothing:
                socket.send_fds(self.orders, [json.dumps(order).encode()], [nothing.fileno(), log])
            pid = self.orders.recv(64)
        except OSError as error:
            # An answer that comes later would be taken for the next one's.
            self.kill()
            raise NotForked(f"{self.name}: {error}") from error
        if not pid:
            raise NotForked(f"{self.name} has ended")
        return Forked(int(pid))


def fork_server(modules: Sequence[str], environment: Mapping[str, str], log_file: Path) -> ForkServer:
    """Return a fork server that is not started yet; it imports ``modules``, in this order."""
    return ForkServer(
        name="fork-server",
        command=[sys.executable, "-m", "laundry_servers.forked", *modules],
        environment={**environment, **UNBUFFERED, **ROOM},
        log_file=log_file,
        ready=lambda: True,
    )
