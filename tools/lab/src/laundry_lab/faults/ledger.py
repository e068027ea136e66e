"""The ledger of promises: only what clients were answered, never what the system says about itself."""

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
    """One fault that a piece of equipment reported; the monitoring took it, or by MQTT the broker."""

    equipment_id: str
    asked_at: float
    taken_at: float | None = None


@dataclass
class Ledger:
    """Everything that was requested and answered, also appended line by line to ``path``.

    Attributes:
        confirmed: tasks whose confirmation was answered 200.
        stated: preferences that were answered 201, by the one customer whom each suits.
    """

    path: Path
    uploads: dict[str, Upload] = field(default_factory=dict)
    alarms: dict[str, Alarm] = field(default_factory=dict)
    confirmed: set[str] = field(default_factory=set)
    stated: dict[str, str] = field(default_factory=dict)
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

    def took_confirmation(self, task_id: str) -> None:
        """Note that an owner's confirmation was answered 200."""
        self.confirmed.add(task_id)
        self._write({"confirmed": task_id})

    def took_preference(self, preference_id: str, customer: str) -> None:
        """Note a preference that was answered 201. Raises ValueError if it was another one before."""
        if self.stated.setdefault(customer, preference_id) != preference_id:
            raise ValueError(f"{customer}'s preference is {self.stated[customer]} and {preference_id}")
        self._write({"preference": preference_id, "customer": customer})

    def said(self, text: str) -> None:
        """Note what was done to the system."""
        self._write({"did": text})

    @property
    def accepted_ids(self) -> set[str]:
        """The tasks that were promised."""
        return {each.task_id for each in self.uploads.values() if each.task_id is not None}

    def newest_task(self, *, besides: set[str]) -> str | None:
        """Name the task that was promised last and is none of some others."""
        newest = (each.task_id for each in reversed(self.uploads.values()) if each.task_id is not None)
        return next((task_id for task_id in newest if task_id not in besides), None)

    @property
    def unanswered(self) -> list[Upload]:
        """Photos that were never answered."""
        return [each for each in self.uploads.values() if each.task_id is None]

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps({"at": round(time.time(), 3), **line}) + "\n")

    def close(self) -> None:
        """Close the file; nothing can be noted after it."""
        self._file.close()
