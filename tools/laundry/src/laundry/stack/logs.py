"""Keeps the logs of one start after another from growing for ever."""

from contextlib import suppress
from pathlib import Path

MOST_BYTES = 20_000_000


def set_aside(folder: Path, *, besides: str) -> None:
    """Begin anew each log that has become long, and keep the one before as ``.log.1``.

    Before anything is started: whoever has a log open goes on in the file that was set aside.

    Args:
        besides: the log that is in use already.
    """
    for file in folder.glob("*.log"):
        # A log that cannot be moved is no reason not to start.
        with suppress(OSError):
            if file.name != besides and file.stat().st_size > MOST_BYTES:
                file.replace(file.with_name(f"{file.name}.1"))
