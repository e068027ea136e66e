"""Where a command's results go: looked at before anything is measured, and written once they were told."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from laundry_servers.errors import LaundryError

ROOM_BYTES = 1 << 20
"""What a folder must have room for."""

Write = Callable[[Path], Sequence[Path]]
"""Writes results into a folder and returns the files."""


def ready_for(*files: Path) -> None:
    """Make the folders of results, and make sure that the files can be written.

    Raises:
        LaundryError: one cannot; better now than after minutes of measuring.
    """
    for file in files:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.exists():
                file.open("ab").close()
            with tempfile.TemporaryFile(dir=file.parent) as probe:
                probe.write(bytes(ROOM_BYTES))
        except OSError as error:
            raise LaundryError(
                f"--output: {file} could not be written ({_why(error)}). Nothing was measured; name another "
                "place, or make room there."
            ) from error


def keep(folder: Path, write: Write, say: Callable[[str], None]) -> None:
    """Write results that were told already, and say where they are.

    Raises:
        LaundryError: not there; it says where they are instead.
    """
    try:
        written = write(folder)
    except OSError as error:
        raise LaundryError(
            f"The results above could not be written to {folder} ({_why(error)}). {_elsewhere(write)}"
        ) from error
    say(f"written to {', '.join(map(str, written))}")


def _elsewhere(write: Write) -> str:
    try:
        spare = Path(tempfile.mkdtemp(prefix="laundry-results-"))
        written = write(spare)
    except OSError as error:
        return (
            f"Nor could they be kept elsewhere ({_why(error)}): copy them from here, and make room, or name "
            "another place with --output, before the next measurement."
        )
    return f"They are in {', '.join(map(str, written))}; make room, or name another place with --output."


def _why(error: OSError) -> str:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "what should be a folder is a file"
    return error.strerror or str(error)
