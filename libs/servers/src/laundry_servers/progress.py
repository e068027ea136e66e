"""How long-running work tells a person what it is doing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Takes the steps of a long work as they happen."""

    def started(self, step: str) -> None:
        """A step began."""

    def note(self, step: str, text: str) -> None:
        """A running step has something new to tell."""

    def finished(self, step: str, text: str = "") -> None:
        """A step is done."""

    def failed(self, step: str, text: str) -> None:
        """A step failed."""


class Quiet:
    """Progress that nobody watches."""

    def started(self, step: str) -> None:
        """Say nothing."""

    def note(self, step: str, text: str) -> None:
        """Say nothing."""

    def finished(self, step: str, text: str = "") -> None:
        """Say nothing."""

    def failed(self, step: str, text: str) -> None:
        """Say nothing."""


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
