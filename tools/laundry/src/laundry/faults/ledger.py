"""What the clients were promised. It asks nobody: only answers that came over HTTP are in it."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Upload:
    """One photo of a helper, who sends it again under the same key until it is answered.

    Attributes:
        asked_at, answered_at: seconds of ``time.monotonic``.
        tries: how often it was sent.
    """

    key: str
    asked_at: float
    tries: int = 0
    task_id: str | None = None
    answered_at: float | None = None


@dataclass
class Alarm:
    """One fault that a piece of equipment reported and the monitoring took."""

    equipment_id: str
    asked_at: float
    taken_at: float | None = None


@dataclass
class Ledger:
    """Everything that was asked and answered, also written line by line to ``path``."""

    path: Path
    uploads: dict[str, Upload] = field(default_factory=dict)
    alarms: dict[str, Alarm] = field(default_factory=dict)
    slowest_s: float = 0.0

    def __post_init__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("w", buffering=1)

    def asked(self, key: str) -> Upload:
        """Note a photo that is about to be sent."""
        upload = self.uploads[key] = Upload(key, time.monotonic())
        return upload

    def accepted(self, upload: Upload, task_id: str) -> None:
        """Note a 201. Raises ValueError if the same photo was accepted as another task before."""
        if upload.task_id not in (None, task_id):
            raise ValueError(f"{upload.key} is task {upload.task_id} and task {task_id}")
        upload.task_id, upload.answered_at = task_id, time.monotonic()
        self.slowest_s = max(self.slowest_s, upload.answered_at - upload.asked_at)
        self._write({"accepted": task_id, "key": upload.key, "tries": upload.tries})

    def alarmed(self, alarm: Alarm) -> None:
        """Note a fault that the monitoring took."""
        alarm.taken_at = time.monotonic()
        self.alarms[alarm.equipment_id] = alarm
        self._write({"fault": alarm.equipment_id})

    def said(self, text: str) -> None:
        """Note what was done to the system."""
        self._write({"did": text})

    @property
    def accepted_ids(self) -> set[str]:
        """The tasks that were promised."""
        return {each.task_id for each in self.uploads.values() if each.task_id is not None}

    @property
    def unanswered(self) -> list[Upload]:
        """Photos that nobody has been told anything about."""
        return [each for each in self.uploads.values() if each.task_id is None]

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps({"at": round(time.time(), 3), **line}) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
