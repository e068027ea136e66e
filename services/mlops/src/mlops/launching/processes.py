"""Jobs as processes beside the service, which they never outlive."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from mlops.launching.launcher import Job, JobOutcome, LaunchError
from mlops.launching.outcome import SIGNALLED, by_code

KILL_AFTER_S = 5.0
NOT_FOR_JOBS = ("LAUNDRY_AMQP_URL",)
"""A run speaks to no broker."""

ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def job_command(run_id: str, kind: str) -> Sequence[str]:
    """The command of a run's process; it reads the same environment as the service."""
    return (sys.executable, "-m", f"mlops.{kind}", run_id)


class Processes:
    """Starts each run as a child process of low priority."""

    outlive = False

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        command: Callable[[str, str], Sequence[str]] = job_command,
    ) -> None:
        """Take what is added to this process's environment."""
        self._environment = environment or {}
        self._command = command

    async def launch(self, run_id: str, kind: str, attempt: int) -> Job:
        """Start a process; as ``Launcher``."""
        try:
            # The job ends when its standard input does: it never outlives this process.
            return ProcessJob(
                await asyncio.create_subprocess_exec(
                    *self._command(run_id, kind),
                    stdin=asyncio.subprocess.PIPE,
                    # A session of its own, so that its low priority also counts under autogroup scheduling.
                    start_new_session=True,
                    env={
                        name: value
                        for name, value in {**os.environ, **self._environment, **ONE_CORE}.items()
                        if name not in NOT_FOR_JOBS
                    },
                )
            )
        except OSError as error:
            raise LaunchError(f"The training process cannot be started: {error}") from error

    async def find(self, run_id: str, kind: str, attempt: int) -> Job | None:
        """Find nothing: a process never outlives who started it."""
        return None


class ProcessJob:
    """A run as a child process; it ends with its standard input."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def wait(self) -> JobOutcome:
        """Wait for its end."""
        code = await self._process.wait()
        if code == 0:
            return JobOutcome()
        return by_code(code if code >= 0 else SIGNALLED - code)

    async def end(self) -> None:
        """Send SIGTERM, then SIGKILL."""
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(KILL_AFTER_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
