"""A run as it is stored: what was asked for, every request, and samples of the system."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from laundry_lab.load import patterns
from laundry_lab.load.arrivals import OK, Requests
from laundry_lab.load.documents import Malformed, Part
from laundry_lab.load.figures import UNITS, figures
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
            document = Part(json.loads(path.read_text(encoding="utf-8")))
            if document["format"].value != FORMAT:
                raise LaundryError(f"{path} was written by another version; run it again.")
            return cls(**_parts(document))
        except (OSError, ValueError, RecursionError) as error:
            raise LaundryError(f"{path} is no run of `laundry load`: {error}") from error


def _parts(found: Part) -> dict[str, Any]:
    """Return what a run consists of; all of it can be counted, drawn and printed. Raises ValueError."""
    told = [found["plan"].mapping(), found["surroundings"].mapping()]
    # Half of a character can be read and not written.
    names = [found["requests"]["outcomes"].value, found["samples"].value, found["marks"].value]
    json.dumps([*told, *names], ensure_ascii=False).encode()
    for name in ("seed", "photos", "batch"):
        found["plan"][name]
    requests, photos = _requests(found["requests"], found["plan"])
    found["plan"]["title"].text()
    found["plan"]["seconds"].number()
    effects, drained_s = found["effects"], found["drained_s"]
    return {
        "plan": told[0],
        "surroundings": told[1],
        "requests": requests,
        "accepted": found["accepted"].integer(0, photos),
        "refused": found["refused"].integer(0, photos),
        "effects": None if effects.value is None else [_pair(each) for each in effects.items()],
        "drained_s": None if drained_s.value is None else drained_s.number(),
        "samples": [_sample(each) for each in found["samples"].items()],
        "marks": [_mark(each) for each in found["marks"].items()],
        "processor_s": found["processor_s"].number(),
        "interrupted": found["interrupted"].truth(),
        "thresholds": [_threshold(each) for each in found["thresholds"].items()],
        "began_at": _moment(found["began_at"]),
        # Earlier versions did not tell it from what was lost.
        "pending": found.get("pending", 0).integer(0, photos),
    }


def _requests(found: Part, plan: Part) -> tuple[Requests, int]:
    """Return the requests, and how many photos they carry."""
    due = found["due_us"].integers(0)
    number, outcomes = len(due), [each.text() for each in found["outcomes"].items()]
    photos = patterns.photos_of(plan, number)
    requests = Requests(
        due_us=due,
        **{name: found[name].integers(-1, number=number) for name in ("arrived_us", "sent_us", "done_us")},
        outcome=found["outcome"].integers(0, len(outcomes) - 1, number=number),
        outcomes=outcomes,
    )
    for each in requests.of(OK):
        Part(requests.done_us[each], f"requests.done_us[{each}]").integer(1)
    return requests, photos


def _pair(found: Part) -> tuple[float, float]:
    due, took = found.items(2)
    return due.number(), took.number()


def _mark(found: Part) -> tuple[float, str]:
    at, what = found.items(2)
    return at.number(), what.text()


def _sample(found: Part) -> Sample:
    parts = {name: found.get(name, {}).numbers() for name in ("backlog", "processor", "memory_mb")}
    return Sample(found["at"].number(), **parts)


def _threshold(found: Part) -> Threshold:
    figure = found["figure"].text()
    if figure not in UNITS:
        raise Malformed(f"{found.name}.figure is {figure!r}: there is no such figure")
    return Threshold(figure, found["bound"].number(), found["at_most"].truth())


def _moment(found: Part) -> datetime:
    try:
        return datetime.fromisoformat(found.text())
    except ValueError as error:
        raise Malformed(f"{found.name} is no time: {error}") from error
