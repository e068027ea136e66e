"""The fork server: ``python -m laundry_servers.forked MODULE...`` imports modules, then forks programs.

It reads orders from standard input, a socket; ``laundry_servers.forkserver`` starts it and sends them. It
imports nothing of ours but what it is told to: a program that starts again runs the code as it is now.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LARGEST = 1 << 18
PR_SET_PDEATHSIG = 1
ADOPTED_S = 10.0
# Where the kernel keeps what ps shows, in fields of /proc/self/stat after the name (proc(5), 48 to 51).
AREAS = slice(45, 49)


def serve(orders: socket.socket) -> dict[str, Any] | None:
    """Fork for each order until the other end closes; in the forked process, return its order."""
    while True:
        order, files, _, _ = socket.recv_fds(orders, LARGEST, 2)
        if not order:
            return None
        read, write = os.pipe()
        between = os.fork()
        if between == 0:
            if os.fork() != 0:
                # The one who asked adopts its grandchild, and can wait for it as for a child.
                os._exit(0)
            os.setsid()
            orders.close()
            os.close(read)
            os.write(write, str(os.getpid()).encode())
            os.close(write)
            for number, file in enumerate(files):
                os.dup2(file, number)
                os.close(file)
            os.dup2(1, 2)
            found: dict[str, Any] = json.loads(order)
            return found
        os.close(write)
        for file in files:
            os.close(file)
        os.waitpid(between, 0)
        with os.fdopen(read, "rb") as told:
            orders.send(told.read())


def die_with(parent: int) -> None:
    """Have the kernel end this process with its new parent; end now if that is somebody else."""
    end = time.monotonic() + ADOPTED_S
    while os.getppid() != parent and time.monotonic() < end:
        time.sleep(0.001)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(f"process {parent}, which asked for this one, has ended or did not adopt it")


def take_over(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Take another environment, and show it and the command to ps and /proc as a started program does."""
    os.environ.clear()  # and the C library's, whose entries lie where the next lines write
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    arguments_at, arguments_end, environment_at, environment_end = map(int, fields[AREAS])
    # Where the kernel does not tell, the fork server's stay on show.
    if arguments_at and environment_at:
        _write(arguments_at, arguments_end, " ".join(arguments))
        # The kernel then shows what comes before the first NUL, as it does after setproctitle(3).
        ctypes.memset(arguments_end - 1, ord("."), 1)
        shown = "\0".join(f"{key}={value}" for key, value in environment.items())
        _write(environment_at, environment_end, shown)
    os.environ.update(environment)


def _write(at: int, end: int, text: str) -> None:
    content = text.encode()[: end - at - 2]
    ctypes.memset(at, 0, end - at)
    ctypes.memmove(at, content, len(content))


def main() -> None:
    """Import, then fork and run what is asked for; a program ends as if it had been started by itself."""
    with socket.socket(fileno=os.dup(0)) as orders:
        for module in sys.argv[1:]:
            importlib.import_module(module)
        # What is imported now stays where it is: a search for garbage would write to all of it.
        gc.collect()
        gc.freeze()
        order = serve(orders)
    if order is not None:
        die_with(order["parent"])
        take_over([sys.executable, "-m", order["module"], *order["arguments"]], order["environment"])
        sys.argv = [order["module"], *order["arguments"]]
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
