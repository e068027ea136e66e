"""Runs the trainer: a confined process with torch that is given a folder, no address and no secret."""

import json
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from laundry_learning.fine_tuning.contract import REFUSED, Line
from laundry_learning.sandbox.launcher import EXIT, ConfinedProcess, Sandbox
from mlops.runs import RunError, RunInterrupted

Progress = Callable[[float], Awaitable[None]]
Note = Callable[[str], Awaitable[None]]

REMEMBERED = 12
"""Lines of other output that are told when the trainer fails."""

NOTE_MOST = 500
NOTES_MOST = 2_000
"""So many notes are kept of one training: they go into the database."""


async def train(
    sandbox: Sandbox,
    python: Path,
    folder: Path,
    data: Path,
    *,
    threads: int,
    progress: Progress,
    note: Note,
) -> None:
    """Run the trainer to its end.

    Raises:
        RunError: it cannot do what it was told, or failed.
        RunInterrupted: it was killed; its checkpoint is in the folder.
    """
    try:
        # It ends when its standard input does: it never outlives this process.
        confined = await sandbox.start_trainer(python, folder, data, threads=threads)
    except OSError as error:
        raise RunInterrupted(f"the trainer cannot be started: {error}") from error
    try:
        told, code, other = await _listen(confined, progress, note)
        if code is None and confined.process is not None:
            code = await confined.process.wait()
    finally:
        await confined.end()
    if code is None:
        raise RunInterrupted("the trainer's container is gone; its last whole epoch is kept")
    if code < 0:
        raise RunInterrupted(f"the trainer was killed by signal {-code}; its last whole epoch is kept")
    if code == REFUSED and told:
        raise RunError(told[:NOTE_MOST])
    if code != 0:
        raise RunError(
            f"The trainer ended with exit code {code}. It said: {' / '.join(other) or 'nothing'}"[:900]
        )


async def _listen(
    confined: ConfinedProcess, progress: Progress, note: Note
) -> tuple[str | None, int | None, deque[str]]:
    told: str | None = None
    code: int | None = None
    notes = 0
    other: deque[str] = deque(maxlen=REMEMBERED)
    # What is raised in here is of those who are told, such as a database that is away.
    async for text in _lines(confined):
        # Only in another container: its server prints this line last.
        if confined.process is None and (ended := _exit_of(text)) is not None:
            code = ended
            continue
        line = Line.read(text)
        if line is None:
            if text:
                other.append(text[:200])
                print(text[:NOTE_MOST], file=sys.stderr)
            continue
        told = line.error or told
        if line.note and notes < NOTES_MOST:
            notes += 1
            await note(line.note[:NOTE_MOST])
        if line.done is not None:
            await progress(line.done)
    return told, code, other


async def _lines(confined: ConfinedProcess) -> AsyncIterator[str]:
    """Yield what the trainer says until it ends, or its container does."""
    try:
        async for raw in confined.source:
            yield raw.decode(errors="replace").rstrip()
    except ValueError as broken:
        raise RunError("The trainer said a line that is too long; it was ended.") from broken
    except OSError:
        return


def _exit_of(text: str) -> int | None:
    try:
        return int(json.loads(text)[EXIT])
    except (ValueError, KeyError, TypeError):
        return None
