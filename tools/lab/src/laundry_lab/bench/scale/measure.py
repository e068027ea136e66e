"""What is filled and measured, step by step, on a stack of its own."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from laundry_lab.bench.figures import Figure
from laundry_lab.bench.scale import costs, customers, examples, machines, streams, tasks
from laundry_lab.bench.scale.databases import sizes
from laundry_lab.bench.scale.growth import Reading, figures
from laundry_lab.bench.stage import Measure, Stage

SCALE = "scale"
OFTEN = {"LAUNDRY_HOUSEKEEPING_EVERY_S": "5", "LAUNDRY_PRUNE_EVERY_S": "5"}
SETTINGS = {
    "helper": OFTEN | streams.SETTINGS,
    "monitoring": OFTEN,
    "notification": OFTEN,
}
"""Of processes: what is swept is swept soon, and one address may have all streams."""

TABLES = 3
FIRST = 4
"""The first step: 10 to this power."""


@dataclass(frozen=True)
class Subject:
    """What is filled and measured.

    Attributes:
        service: whose memory and tables are looked at.
        measure: fills with so many rows in so many branches and takes the times.
        most: the largest step that says anything, as a power of ten.
    """

    title: str
    service: str
    measure: Callable[[Stage, int, int], Awaitable[list[Reading]]]
    most: int = 7


SUBJECTS: Mapping[str, Subject] = {
    "tasks": Subject("Scale: tasks", "helper", tasks.measure),
    "customers": Subject(
        "Scale: customers, a preference and who is told", "notification", customers.measure, most=6
    ),
    "faults": Subject(
        "Scale: faults and samples; a tenth as many machines", "monitoring", machines.measure, most=6
    ),
    "examples": Subject("Scale: examples to learn from", "mlops", examples.measure, most=6),
}


def parts(largest: int) -> dict[str, Measure]:
    """Return what is measured, by name, in this order: the costs of one before the databases are full.

    Args:
        largest: the last step, as a power of ten.
    """
    grown: dict[str, Measure] = {
        f"{SCALE}-{name}": partial(_grown, subject, range(FIRST, min(largest, subject.most) + 1))
        for name, subject in SUBJECTS.items()
    }
    return {f"{SCALE}-costs": costs.measure, **grown, f"{SCALE}-streams": _streams}


async def _grown(subject: Subject, steps: Sequence[int], stage: Stage) -> list[Figure]:
    readings: list[Reading] = []
    memory: list[Figure] = []
    for power in steps:
        advance = stage.say(f"{subject.title}, 10^{power}", 1)
        readings += await subject.measure(stage, 10**power, branches_of(10**power))
        used_mb = stage.memory_mb(subject.service)
        memory.append(Figure(subject.title, f"memory of {subject.service} at 10^{power}", used_mb, "MB"))
        advance(1)
    return [*figures(subject.title, readings), *memory, *await _tables(stage, subject, 10 ** steps[-1])]


async def _streams(stage: Stage) -> list[Figure]:
    return figures("Scale: open streams", await streams.measure(stage))


async def _tables(stage: Stage, subject: Subject, rows: int) -> list[Figure]:
    largest = list((await sizes(stage, subject.service)).items())[:TABLES]
    return [
        Figure(
            subject.title,
            f"table {name}, with its indexes",
            size / 1e6,
            "MB",
            note=f"{size / rows:.0f} bytes a row filled",
        )
        for name, size in largest
    ]


def branches_of(rows: int) -> int:
    """Return how many branches so many tasks come from: each has 10,000 in a year."""
    return max(20, rows // 10_000)
