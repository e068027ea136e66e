"""Counts attempts from the services' logs: a message that finally succeeded no longer carries its count."""

import json
from collections import defaultdict
from pathlib import Path

FAILURES = {"message retried", "message dead"}


class Attempts:
    """Counts failed attempts of every message since it was made."""

    def __init__(self, folder: Path) -> None:
        """Read the logs in ``folder``, from their current end."""
        self._folder = folder
        self._read = {file: file.stat().st_size for file in folder.glob("*.log")}
        self._failed: dict[tuple[str, str], set[int]] = defaultdict(set)
        self._last: dict[tuple[str, str], str] = {}

    def most(self) -> int:
        """Return the most attempts that any message had, the one under way included."""
        for file in sorted(self._folder.glob("*.log")):
            self._go_on(file)
        return max(
            (
                max(len(failed), *failed) + (self._last[message] == "message retried")
                for message, failed in self._failed.items()
            ),
            default=0,
        )

    def _go_on(self, file: Path) -> None:
        with file.open("rb") as log:
            log.seek(self._read.get(file, 0))
            for line in log:
                if not line.endswith(b"\n"):
                    break  # the rest of it comes later
                self._read[file] = self._read.get(file, 0) + len(line)
                if b'"message ' in line:
                    self._note(line)

    def _note(self, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return  # a process was killed while it wrote
        if said.get("event") in FAILURES:
            message = (str(said.get("queue")), str(said.get("event_id")))
            self._failed[message].add(int(said["attempt"]))
            self._last[message] = said["event"]
