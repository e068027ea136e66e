"""The local identity provider's deny list: a file that it serves beside its keys.

The form is the one that the services read (``laundry_service.auth.deny_list``).
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from laundry_servers.errors import LaundryError
from laundry_servers.files import read_json, write_json

DENIED_FILE = "denied.json"
LONGEST_NAME = 255
Entry = dict[str, str]


class LocalDenyList:
    """Entries in ``folder``, changed by one command at a time."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / DENIED_FILE
        self._lock_file = folder / f"{DENIED_FILE}.lock"

    def document(self) -> dict[str, Any]:
        """Return what is served."""
        return {"denied": self.entries()}

    def entries(self) -> list[Entry]:
        """Return the entries, without those that are over."""
        kept = read_json(self.file) or {"denied": []}
        return [entry for entry in kept["denied"] if not _is_over(entry)]

    def deny(
        self,
        *,
        sub: str | None = None,
        jti: str | None = None,
        until: datetime | None = None,
        issued_before: datetime | None = None,
    ) -> Entry:
        """Cut off a subject or one token; returns the entry. A second one for the same replaces the first.

        Args:
            until: when the entry leaves by itself.
            issued_before: only tokens that were issued before.

        Raises:
            LaundryError: neither or both are named, or the name is none.
        """
        entry = _named(sub, jti)
        if until is not None:
            entry["until"] = _text(until)
        if issued_before is not None:
            entry["issued_before"] = _text(issued_before)
        with self._changing():
            self._write([*self._others(sub, jti), entry])
        return entry

    def allow(self, *, sub: str | None = None, jti: str | None = None) -> int:
        """Remove somebody; returns how many entries were removed. Raises LaundryError like ``deny``."""
        _named(sub, jti)
        with self._changing():
            others = self._others(sub, jti)
            ended = len(self.entries()) - len(others)
            self._write(others)
        return ended

    def _others(self, sub: str | None, jti: str | None) -> list[Entry]:
        return [each for each in self.entries() if (each.get("sub"), each.get("jti")) != (sub, jti)]

    def _write(self, entries: list[Entry]) -> None:
        write_json(self.file, {"denied": entries})

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock_file.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _named(sub: str | None, jti: str | None) -> Entry:
    if (sub is None) == (jti is None):
        raise LaundryError("Name either a subject (--sub) or one token (--jti).")
    name = sub if sub is not None else jti
    assert name is not None
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise LaundryError(f"A name is 1 to {LONGEST_NAME} characters that can be printed.")
    return {"sub": name} if sub is not None else {"jti": name}


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _is_over(entry: Entry) -> bool:
    return "until" in entry and datetime.fromisoformat(entry["until"]) <= datetime.now(UTC)
