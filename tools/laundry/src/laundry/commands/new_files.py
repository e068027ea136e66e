"""Files that a person asked for, and that must not take the place of others."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from laundry_servers.errors import LaundryError


@contextmanager
def new_file(file: Path, *, keep_part: bool = False) -> Iterator[IO[str]]:
    """Yield a new file that its owner only may read. Where the block fails, it is removed.

    Args:
        keep_part: leave what was written till then, if anything was.

    Raises:
        LaundryError: there is one of this name, or it cannot be written.
    """
    try:
        out = file.open("x", encoding="utf-8", newline="")
    except OSError as error:
        raise _cannot(file, error) from error
    try:
        with out:
            file.chmod(0o600)
            yield out
    except BaseException as error:
        if not (keep_part and file.stat().st_size):
            file.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _cannot(file, error) from error
        raise


def _cannot(file: Path, error: OSError) -> LaundryError:
    return LaundryError(f"{file} cannot be written: {error.strerror}. Name another: --file")
