"""The interface between the runner and job launchers. Knows no operating system and no cluster."""

from dataclasses import dataclass
from typing import Protocol

RETRY_LATER = 75
"""Exit code (EX_TEMPFAIL) of a job that lost what it needs; started again it goes on where it was."""


@dataclass(frozen=True)
class JobOutcome:
    """How a job ended: ``error`` fails the run; ``lost`` says why it starts again; neither means success."""

    error: str | None = None
    lost: str | None = None


class LaunchError(Exception):
    """The job cannot be started, and trying again would not help; the text says why."""


class Job(Protocol):
    """A run's job, wherever it goes on; it may be waited for again."""

    async def wait(self) -> JobOutcome:
        """Wait for its end; may be cancelled and asked again."""

    async def end(self) -> None:
        """End it, and wait until it has."""


class Launcher(Protocol):
    """Starts jobs, and finds those that outlived the process that started them."""

    @property
    def outlive(self) -> bool:
        """Whether jobs outlive this process and can be found again."""

    async def launch(self, run_id: str, kind: str, attempt: int) -> Job:
        """Start the job of a run.

        Raises:
            LaunchError: it cannot be started.
        """

    async def find(self, run_id: str, kind: str, attempt: int) -> Job | None:
        """Find the job that a former process started for this attempt, None if there is none."""
