"""The chain of an audit: each row's hash covers its record, its number and the hash of the row before.

The table's trigger computes the hashes while it holds a lock, so that concurrent rows stay one chain; here
they are only checked. Knows no database.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

START = "0" * 64
"""What the first row has in place of the hash before it."""


@dataclass(frozen=True)
class Head:
    """The newest row; comparing against it reveals a truncated audit."""

    number: int
    hash: str

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> "Head":
        """Read ``number:hash``. Raises ValueError."""
        number, separator, digest = text.strip().partition(":")
        if not separator or not number.isdecimal() or len(digest) != len(START):
            raise ValueError(f"{text[:100]!r} is not NUMBER:HASH, as `laundry audit export` ends with")
        return cls(int(number), digest.lower())


NOTHING = Head(0, START)


@dataclass(frozen=True)
class Row:
    """A row as it is stored.

    Attributes:
        record: the JSON text, exactly as stored.
        columns: what the row repeats of its record to be found by.
    """

    number: int
    previous: str
    hash: str
    record: str
    columns: Mapping[str, Any] | None = None


def hash_of(previous: str, number: int, record: str) -> str:
    """Compute the hash of a row."""
    return hashlib.sha256(f"{previous}\n{number}\n{record}".encode()).hexdigest()


class Checker:
    """Checks rows, oldest first, and collects what is wrong with them."""

    def __init__(self) -> None:
        self.head = NOTHING
        self.rows = 0
        self.faults: list[str] = []
        self._anchors: dict[int, str] = {}

    def expect(self, anchors: Iterable[Head]) -> None:
        """Require rows that were seen before; call this before ``take``."""
        self._anchors |= {each.number: each.hash for each in anchors if each != NOTHING}

    def take(self, row: Row) -> None:
        """Check the next row."""
        self.rows += 1
        if row.number <= self.head.number:
            self.faults.append(f"row {row.number} stands behind row {self.head.number}")
        if row.previous != self.head.hash:
            self.faults.append(
                f"row {row.number} does not follow row {self.head.number}: rows are missing or moved"
            )
        if row.hash != hash_of(row.previous, row.number, row.record):
            self.faults.append(f"row {row.number} was changed: its hash is not that of its record")
        self.faults += [f"row {row.number}: {name} is not what the record says" for name in _differing(row)]
        anchor = self._anchors.pop(row.number, None)
        if anchor is not None and anchor != row.hash:
            self.faults.append(f"row {row.number} is another one than was seen before")
        self.head = Head(row.number, row.hash)

    def end(self) -> list[str]:
        """Return all findings after the last row; empty if there are none."""
        missing = sorted(number for number in self._anchors if number > self.head.number)
        if missing:
            self.faults.append(
                f"the end is missing: it ends with row {self.head.number}, and row {missing[-1]} was seen"
            )
        self.faults += [f"row {n} is missing" for n in sorted(self._anchors) if n not in missing]
        return self.faults


def _differing(row: Row) -> list[str]:
    if not row.columns:
        return []
    record = json.loads(row.record)
    return [name for name, value in row.columns.items() if name in record and record[name] != value]
