"""The entry point of a run's process, whichever kind it is."""

import asyncio
import ctypes
import os
import sys
import threading

from pydantic import SecretStr

from laundry_service.background.priority import give_way
from laundry_service.telemetry.logging import configure_logging
from mlops.jobs.job import Steps, take
from mlops.settings import Settings

ALONE = "--alone"
"""Argument of a job that no service holds by its standard input."""

NICENESS = 10
SET_DUMPABLE = 4


class JobSettings(Settings):
    """The settings of a run's process, which needs no login at the broker."""

    amqp_url: SecretStr = SecretStr("")


def main(kind: str, steps: type[Steps]) -> int:
    """Run the steps of a run. Returns the exit code: 0 also for one that failed with its reason recorded."""
    arguments = [each for each in sys.argv[1:] if each != ALONE]
    if len(arguments) != 1:
        sys.exit(f"usage: python -m mlops.{kind} <run id> [{ALONE}]")
    forbid_tracing()
    give_way(NICENESS)
    settings = JobSettings()
    configure_logging(f"{settings.service_name}-{kind}", settings.log_level)
    if ALONE not in sys.argv:
        threading.Thread(target=_end_with_the_service, daemon=True).start()
    return asyncio.run(take(steps, arguments[0], settings))


def forbid_tracing() -> None:
    """Hide this process's memory and environment, which hold secrets, from other processes of its user."""
    ctypes.CDLL(None).prctl(SET_DUMPABLE, 0, 0, 0, 0)


def _end_with_the_service() -> None:
    # Not through sys.stdin: its lock, held by this thread, would make the interpreter's own end fail.
    while os.read(0, 4096):
        pass
    os._exit(3)
