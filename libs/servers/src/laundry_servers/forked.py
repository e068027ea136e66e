"""The fork server: ``python -m laundry_servers.forked MODULE...`` imports modules, then forks programs.

It reads orders from standard input, a socket; ``laundry_servers.forkserver`` starts it and sends them. It
imports nothing but what it is told to: a program that starts again runs its own code as it is now.
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
import sysconfig
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LARGEST = 1 << 18
PR_SET_PDEATHSIG = 1
ADOPTED_S = 10.0
GO = b"!"
# Where the kernel keeps what ps shows, in fields of /proc/self/stat after the name (proc(5), 48 to 51).
AREAS = slice(45, 49)


def serve(orders: socket.socket) -> dict[str, Any] | None:
    """Fork for each order until the other end closes or what was imported has changed on disk.

    Returns:
        in a forked process its order, whose three files are standard input, output and ``go``; else None.
    """
    libraries = Path(sysconfig.get_path("purelib"))
    imported_at = libraries.stat().st_mtime_ns
    while True:
        order, files, _, _ = socket.recv_fds(orders, LARGEST, 3)
        if not order or libraries.stat().st_mtime_ns != imported_at:
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
            given, log, go = files
            for number, file in enumerate((given, log)):
                os.dup2(file, number)
                os.close(file)
            os.dup2(1, 2)
            return {**json.loads(order), "go": go}
        os.close(write)
        for file in files:
            os.close(file)
        os.waitpid(between, 0)
        with os.fdopen(read, "rb") as told:
            orders.send(told.read())


def wait_for(go: int) -> None:
    """Wait until the one who asked knows of this process; end if it never will, and starts another."""
    said = os.read(go, 1)
    os.close(go)
    if said != GO:
        raise SystemExit("nobody waits for this process any more")


def die_with(parent: int) -> None:
    """Have the kernel end this process with its new parent; end if that one has not adopted it."""
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
    content = os.fsencode(text)[: end - at - 2]
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
        wait_for(order["go"])
        die_with(order["parent"])
        take_over([sys.executable, "-m", order["module"], *order["arguments"]], order["environment"])
        sys.argv = [order["module"], *order["arguments"]]
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
