"""Progress output: a live line in a terminal, else plain lines; JSON lines between processes."""

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TextIO

from rich import progress as bars
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from laundry_servers.progress import Progress

console = Console(stderr=True, highlight=False)


CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def visible(value: object) -> str:
    """Escape a stranger's text for display: control codes could manipulate the terminal."""
    return escape(CONTROLS.sub("\N{REPLACEMENT CHARACTER}", str(value)))


class ConsoleProgress:
    """Shows the running step with a spinner, and each finished one with its time."""

    def __init__(self, target: Console = console) -> None:
        self.console = target
        self.began: dict[str, float] = {}
        self.status: Status | None = None

    def started(self, step: str) -> None:
        """Show that a step runs."""
        self.began[step] = time.monotonic()
        self._show(step)

    def note(self, step: str, text: str) -> None:
        """Show what the step does now."""
        self._show(f"{step}: {text}")
        if not self.console.is_terminal:
            self.console.print(f"  … {escape(step)}: {escape(text)}")

    def finished(self, step: str, text: str = "") -> None:
        """Leave a line for the finished step."""
        self._line("[green]✓[/green]", step, text)

    def failed(self, step: str, text: str) -> None:
        """Leave a line for the failed step; the error itself is told at the end."""
        self._line("[red]✗[/red]", step, text.splitlines()[0] if text else "")

    def close(self) -> None:
        """Remove the spinner from the terminal."""
        if self.status is not None:
            self.status.stop()
            self.status = None

    def _show(self, text: str) -> None:
        if not self.console.is_terminal:
            return
        if self.status is None:
            self.status = self.console.status(escape(text))
            self.status.start()
        self.status.update(escape(text))

    def _line(self, sign: str, step: str, text: str) -> None:
        self.close()
        began = self.began.pop(step, None)
        seconds = "" if began is None else f"[dim]{time.monotonic() - began:.1f} s[/dim]"
        self.console.print(" ".join(part for part in (sign, escape(step), escape(text), seconds) if part))


class JsonLines:
    """Progress for another process to show: one JSON object on each line."""

    def __init__(self, target: TextIO) -> None:
        self.target = target
        # Once nobody reads any more, remaining messages go to a log.
        self.plain = False

    def send(self, **content: Any) -> None:
        """Write one line; a closed reader is ignored."""
        line = f"{content.get('step', '')} {content.get('text', '')}" if self.plain else json.dumps(content)
        with suppress(BrokenPipeError, ValueError):
            self.target.write(line + "\n")
            self.target.flush()

    def started(self, step: str) -> None:
        """Tell that a step runs."""
        self.send(event="started", step=step, text="")

    def note(self, step: str, text: str) -> None:
        """Tell what the step does now."""
        self.send(event="note", step=step, text=text)

    def finished(self, step: str, text: str = "") -> None:
        """Tell that a step is done."""
        self.send(event="finished", step=step, text=text)

    def failed(self, step: str, text: str) -> None:
        """Tell that a step failed."""
        self.send(event="failed", step=step, text=text)


class Advance(Protocol):
    """Moves a progress bar on."""

    def __call__(self, steps: float = 1) -> None:
        """Count ``steps`` of the bar's total as done."""


@contextmanager
def bar(title: str, total: float, target: Console, *, percent: bool = False) -> Iterator[Advance]:
    """Show a progress bar while the block runs; without a terminal, one line when it begins."""
    columns = (
        bars.TextColumn("  {task.description}"),
        bars.BarColumn(30),
        bars.TaskProgressColumn() if percent else bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
    )
    with bars.Progress(*columns, console=target, transient=True, disable=not target.is_terminal) as progress:
        if not target.is_terminal:
            target.print(f"  {title} …")
        task = progress.add_task(title, total=total)
        yield lambda steps=1: progress.advance(task, steps)


def replay(line: str, progress: Progress) -> dict[str, Any]:
    """Show one JSON line on ``progress``; return it for those that mean something else."""
    content: dict[str, Any] = json.loads(line)
    match content.get("event"):
        case "started":
            progress.started(content["step"])
        case "note":
            progress.note(content["step"], content["text"])
        case "finished":
            progress.finished(content["step"], content["text"])
        case "failed":
            progress.failed(content["step"], content["text"])
    return content


def fail(message: str) -> None:
    """Tell a person what went wrong."""
    console.print(f"[red]{escape(message)}[/red]")
    sys.stderr.flush()
