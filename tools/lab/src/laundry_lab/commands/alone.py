"""One measurement at a time: two would share the stack, the processors and the files of their results."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from laundry.paths import stack_paths
from laundry_servers.errors import LaundryError

LOCK = "run/measuring.lock"


@contextmanager
def alone(command: str) -> Iterator[None]:
    """Keep other measurements of this stack out until the block ends.

    The kernel lets go of the lock when this process dies, however that happens; what it starts does not
    inherit it.

    Raises:
        LaundryError: another one is under way.
    """
    file = stack_paths().var / LOCK
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.open("a+")
    except PermissionError:
        # The command line says whose stack it is.
        raise
    except OSError as error:
        raise LaundryError(
            f"{file} could not be written ({error.strerror}). It keeps a second measurement out: name "
            "another folder for the stack, LAUNDRY_VAR_DIR, or make room."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LaundryError(_held(lock)) from None
        except OSError:
            # Some file systems have no locks; a measurement that another might disturb is better than none.
            pass
        _note(lock, {"command": command, "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")})
        try:
            yield
        finally:
            _note(lock, None)


def _note(lock: TextIO, holder: dict[str, object] | None) -> None:
    # Only messages need it.
    with suppress(OSError):
        lock.truncate(0)
        if holder is not None:
            lock.write(json.dumps(holder))
        lock.flush()


def _held(lock: TextIO) -> str:
    disturbed = (
        "Two at once would disturb each other, and end the stack and replace the results of each other"
    )
    try:
        lock.seek(0)
        holder = json.loads(lock.read())
        who, pid = f"{holder['command']} (pid {holder['pid']}, since {holder['since']})", holder["pid"]
    except (OSError, ValueError, KeyError, TypeError):
        # It begins or ends this moment.
        return f"Another measurement of this stack is under way. {disturbed}: try again in a moment."
    return f"{who} is measuring this stack. {disturbed}: wait for it, or end it: kill {pid}"
