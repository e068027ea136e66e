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

from laundry_servers.forked import GO
from laundry_servers.forking import Forked, NotForked
from laundry_servers.process import Process

ANSWER_S = 30.0
# ps and /proc show a program's command and environment where the fork server's own lie: there must be room.
ROOM = {"LAUNDRY_FORK_SERVER": "." * 32_768}
# Python reads its own variables once, when the fork server starts.
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
            return self._asked(self.orders, json.dumps(order).encode(), log)
        except BaseException as error:
            # An answer that comes later would be taken for the next one's.
            self.orders.close()
            self.orders = None
            self.kill()
            if isinstance(error, OSError):
                raise NotForked(f"{self.name}: {error}") from error
            raise

    @staticmethod
    def _asked(orders: socket.socket, order: bytes, log: int) -> Forked:
        read, write = os.pipe()
        with Path(os.devnull).open("rb") as nothing, os.fdopen(write, "wb", buffering=0) as go:
            try:
                socket.send_fds(orders, [order], [nothing.fileno(), log, read])
            finally:
                os.close(read)
            pid = orders.recv(64)
            if not pid:
                raise ConnectionResetError("it has ended")
            # A process that this one did not adopt could not be waited for. It ends without the word to go.
            os.waitid(os.P_PID, int(pid), os.WEXITED | os.WNOHANG | os.WNOWAIT)
            go.write(GO)
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
