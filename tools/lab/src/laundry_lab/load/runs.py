"""A run as it is stored: what was asked for, every request, and samples of the system."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from laundry_lab.load import patterns
from laundry_lab.load.arrivals import Requests
from laundry_lab.load.figures import figures
from laundry_lab.load.thresholds import Threshold, ThresholdResult, judge
from laundry_lab.load.watching import Sample
from laundry_lab.report import rounded, write_report
from laundry_servers.errors import LaundryError

FORMAT = 1


@dataclass
class Run:
    """One run of load.

    Attributes:
        plan: what was asked for: ``title``, ``pattern``, ``seed``, ``photos``, ``batch`` and so on.
        accepted: photos that were answered 201, or events that were confirmed.
        refused: photos that were refused within a batch that was answered.
        effects: of those that had their effect, when each was due and how long it took, in seconds; None
            where nobody looked.
        pending: of those accepted, how many had none yet while queues still held something.
        drained_s: from the last answer until the last effect.
        marks: what happened when, in seconds since the beginning.
        processor_s: what the generator used.
    """

    plan: dict[str, Any]
    surroundings: dict[str, Any]
    requests: Requests
    accepted: int = 0
    refused: int = 0
    effects: list[tuple[float, float]] | None = None
    drained_s: float | None = None
    samples: list[Sample] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)
    processor_s: float = 0.0
    interrupted: bool = False
    thresholds: list[Threshold] = field(default_factory=list)
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    pending: int = 0

    def photos_of(self, requests: Iterable[int]) -> int:
        """Return how many photos, or events, some requests carry: the last batch may be a smaller one."""
        sizes = self.sizes
        return sum(sizes[number] for number in requests)

    @cached_property
    def sizes(self) -> list[int]:
        """How many photos, or events, each request carries."""
        return patterns.batch_sizes(self.plan["photos"], self.plan["batch"])

    @cached_property
    def values(self) -> dict[str, float]:
        """The figures, by name."""
        return figures(self)

    @property
    def verdicts(self) -> list[ThresholdResult]:
        """Each threshold with what was measured."""
        return judge(self.thresholds, self.values)

    @property
    def passed(self) -> bool:
        """Whether every threshold is reached."""
        return all(each.passed for each in self.verdicts)

    def write(self, path: Path) -> None:
        """Write everything as JSON, which ``read`` reads back."""
        write_report(
            path,
            self.began_at,
            self.surroundings,
            # Every request has several times; with one number per line the file would be very long.
            indent=None,
            format=FORMAT,
            plan=self.plan,
            passed=self.passed,
            interrupted=self.interrupted,
            figures={name: rounded(value) for name, value in self.values.items()},
            thresholds=[
                {
                    **asdict(each.threshold),
                    "value": None if each.value is None else rounded(each.value),
                    "passed": each.passed,
                }
                for each in self.verdicts
            ],
            accepted=self.accepted,
            refused=self.refused,
            pending=self.pending,
            drained_s=self.drained_s,
            processor_s=self.processor_s,
            marks=self.marks,
            samples=[asdict(each) for each in self.samples],
            effects=self.effects,
            requests=self.requests.document(),
        )

    @classmethod
    def read(cls, path: Path) -> "Run":
        """Read a run that was written.

        Raises:
            LaundryError: it is none, or of a version that is not known here.
        """
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["format"] != FORMAT:
                raise LaundryError(f"{path} was written by another version; run it again.")
            effects = found["effects"]
            return cls(
                found["plan"],
                found["surroundings"],
                Requests(**found["requests"]),
                found["accepted"],
                found["refused"],
                None if effects is None else [(due, took) for due, took in effects],
                found["drained_s"],
                [Sample(**each) for each in found["samples"]],
                [(at, what) for at, what in found["marks"]],
                found["processor_s"],
                found["interrupted"],
                [Threshold(each["figure"], each["bound"], each["at_most"]) for each in found["thresholds"]],
                datetime.fromisoformat(found["began_at"]),
                # Earlier versions did not tell it from what was lost.
                found.get("pending", 0),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LaundryError(f"{path} is no run of `laundry load`: {error}") from error
