"""Runs the trainer: a process with torch that is given a folder, and no address and no secret."""

import asyncio
import os
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

from mlops.runs import BeginAnew, RunError
from mlops.training.order import REFUSED, Line

Progress = Callable[[float], Awaitable[None]]
Note = Callable[[str], Awaitable[None]]

PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
REMEMBERED = 12
"""Lines of other output that are told when the trainer fails."""


async def train(python: Path, folder: Path, *, threads: int, progress: Progress, note: Note) -> None:
    """Run the trainer to its end.

    Raises:
        RunError: it cannot do what it was told, or failed.
        BeginAnew: it was killed; its checkpoint is in the folder.
    """
    process = await asyncio.create_subprocess_exec(
        python,
        "-m",
        "mlops.training.tune",
        folder,
        # It ends when its standard input does: it never outlives this process.
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment(threads),
        limit=2**20,
    )
    try:
        error, other = await _listen(process, progress, note)
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code < 0:
        raise BeginAnew(f"the trainer was killed by signal {-code}; its last whole epoch is kept")
    if code == REFUSED and error:
        raise RunError(error)
    if code != 0:
        raise RunError(
            f"The trainer ended with exit code {code}. It said: {' / '.join(other) or 'nothing'}"[:900]
        )


async def _listen(
    process: asyncio.subprocess.Process, progress: Progress, note: Note
) -> tuple[str | None, deque[str]]:
    assert process.stdout is not None
    error: str | None = None
    other: deque[str] = deque(maxlen=REMEMBERED)
    async for raw in process.stdout:
        text = raw.decode(errors="replace").rstrip()
        line = Line.read(text)
        if line is None:
            if text:
                other.append(text[:200])
                print(text, file=sys.stderr)
            continue
        error = line.error or error
        if line.note:
            await note(line.note)
        if line.done is not None:
            await progress(line.done)
    return error, other


def environment(threads: int) -> dict[str, str]:
    """The trainer's environment: what any program needs, and how many threads it may use."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {
        **kept,
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
    }
