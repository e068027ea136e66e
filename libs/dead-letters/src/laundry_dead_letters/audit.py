"""The audit of dead letters: one record format, kept in a table or in a file."""

import asyncio
import hashlib
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from laundry_dead_letters.dead_letter import DeadLetter, OperatorAction, utc


def record_of(letter: DeadLetter, act: OperatorAction, now: datetime) -> dict[str, Any]:
    """Return the record of one act on one letter, as it is kept and shown everywhere."""
    return {
        "at": utc(now),
        "by": act.by,
        "via": act.via,
        "run": act.run,
        "action": act.action,
        "queue": letter.queue,
        "id": letter.message_id,
        "reason": act.why,
        "dead_reason": letter.reason,
        "error_class": letter.error_class or None,
        "died_at": utc(letter.died_at) if letter.died_at else None,
        "redriven_before": letter.redriven,
        "trace_id": letter.trace_id,
        "body_sha256": hashlib.sha256(letter.body).hexdigest(),
        "fingerprint": letter.fingerprint,
    }


class Audit(Protocol):
    """Where records are kept. A record is durable before its dead letter leaves the queue."""

    async def check(self) -> None:
        """Find out before anything is done whether it can be recorded. Raises OSError."""

    async def has(self, letter: DeadLetter, action: str) -> bool:
        """Whether this letter was already treated so; then it only remains to remove it.

        One that looks the same in another queue is another: an event may die in several.
        """

    async def write(self, letter: DeadLetter, act: OperatorAction, now: datetime) -> None:
        """Store one record durably. Raises OSError."""


class FileAudit:
    """An append-only file of JSON lines, where no database keeps the audit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: set[tuple[str, ...]] | None = None

    async def write(self, letter: DeadLetter, act: OperatorAction, now: datetime) -> None:
        """Append one record and wait until the disk has it. Raises OSError."""
        await asyncio.to_thread(self._append, record_of(letter, act, now))

    async def has(self, letter: DeadLetter, action: str) -> bool:
        """Search the records that existed when this was first called."""
        if self._known is None:
            names = ("action", "queue", "fingerprint")
            self._known = {tuple(str(record.get(name)) for name in names) for record in self.records()}
        return (action, letter.queue, letter.fingerprint) in self._known

    async def check(self) -> None:
        """Find out whether the file can be written. Raises OSError."""
        os.close(self._open())

    def _append(self, record: dict[str, Any]) -> None:
        line = (json.dumps(record, ensure_ascii=False) + "\n").encode()
        file = self._open()
        try:
            if os.write(file, line) != len(line):
                raise OSError(f"{self.path}: the record was written in part only")
            os.fsync(file)
        finally:
            os.close(file)

    def _open(self) -> int:
        new = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        if new:
            _sync_folder(self.path.parent)
        return file

    def records(self) -> Iterator[dict[str, Any]]:
        """Read every record, oldest first; a line truncated by a crash is skipped."""
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if isinstance(record, dict):
                    yield record


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
