"""Backups that are being written to a folder: each is locked, so that one command leaves another's alone."""

import fcntl
import logging
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from laundry_servers.errors import LaundryError

log = logging.getLogger(__name__)
DRAFT, LOCK = ".draft-", ".lock"


@contextmanager
def claimed(folder: Path, name: str) -> Iterator[Path]:
    """Yield a new draft that others leave alone while the block runs; it is removed if the block fails.

    Drafts that nobody writes any more are removed first.

    Raises:
        LaundryError: another command is writing a backup of this name.
    """
    draft = folder / f"{DRAFT}{name}"
    with ExitStack() as held:
        # Nobody else looks for abandoned drafts before this one is locked.
        with _locked(folder / LOCK, wait=True):
            _remove_abandoned(folder)
            try:
                held.enter_context(_lock_of(draft))
            except BlockingIOError:
                raise LaundryError(
                    f"A backup {name} is being written to {folder} already. Try again."
                ) from None
            draft.mkdir(mode=0o700)
        try:
            yield draft
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


def _remove_abandoned(folder: Path) -> None:
    for name in {each.name.removesuffix(LOCK) for each in folder.glob(f"{DRAFT}*")}:
        with suppress(BlockingIOError), _lock_of(folder / name):
            shutil.rmtree(folder / name, ignore_errors=True)


@contextmanager
def _lock_of(draft: Path) -> Iterator[None]:
    """Hold a draft's lock. Raises BlockingIOError when somebody writes it."""
    file = draft.with_name(f"{draft.name}{LOCK}")
    with _locked(file, wait=False):
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


@contextmanager
def _locked(file: Path, *, wait: bool) -> Iterator[None]:
    # The kernel lets go of it when this process dies, however that happens.
    with file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError as error:
            # A backup that two commands might disturb is better than none.
            log.warning("%s has no locks (%s): make one backup at a time", file.parent, error.strerror)
        yield
