"""Progress reporting of long-running work."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Takes the steps of a long work as they happen."""

    def started(self, step: str) -> None:
        """Tell that a step has begun."""

    def note(self, step: str, text: str) -> None:
        """Tell what a running step does just now."""

    def finished(self, step: str, text: str = "") -> None:
        """Tell that a step is done, with its outcome."""

    def failed(self, step: str, text: str) -> None:
        """Tell that a step failed, and why."""


class Quiet:
    """Progress that nobody watches."""

    def started(self, step: str) -> None:
        """Drop the step: nobody watches."""

    def note(self, step: str, text: str) -> None:
        """Drop the text: nobody watches."""

    def finished(self, step: str, text: str = "") -> None:
        """Drop the outcome: nobody watches."""

    def failed(self, step: str, text: str) -> None:
        """Drop the failure: nobody watches."""


@contextmanager
def step(progress: Progress, name: str) -> Iterator[None]:
    """Report a block as one step."""
    progress.started(name)
    try:
        yield
    except BaseException as error:
        progress.failed(name, str(error) or type(error).__name__)
        raise
    progress.finished(name)
