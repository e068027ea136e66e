"""A run over time: counts and latencies for each slice of it, on one axis."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from laundry_lab.load.arrivals import DROPPED, OK
from laundry_lab.load.runs import Run
from laundry_lab.report import percentile

MOST_SLICES = 240

Points = list[tuple[float, float]]
"""Seconds since the beginning, and a value."""


@dataclass(frozen=True)
class Panel:
    """Lines that share an axis of values."""

    title: str
    unit: str
    lines: dict[str, Points]
    log: bool = False


def length(run: Run) -> float:
    """Return a run's length in seconds, until the last thing that is known of it."""
    known: list[float] = [run.plan["seconds"], *(at for at, _ in run.marks)]
    known += [each.at for each in run.samples[-1:]]
    known += [micros / 1e6 for micros in (max(run.requests.done_us, default=0),)]
    if run.effects:
        known.append(max(due + took for due, took in run.effects))
    return max(1.0, *known)


def panels(run: Run) -> list[Panel]:
    """Return everything about a run that varies over time."""
    seconds = length(run)
    width = max(1.0, math.ceil(seconds / MOST_SLICES))
    requests, sizes = run.requests, run.sizes
    ok = requests.of(OK)
    flow = {
        "due": _rate(((requests.due_us[each] / 1e6, sizes[each]) for each in _due(run)), width, seconds),
        "answered": _rate(((requests.done_us[each] / 1e6, sizes[each]) for each in ok), width, seconds),
    }
    if run.effects:
        flow["had its effect"] = _rate(((at + took, 1) for at, took in run.effects), width, seconds)
    found = [
        Panel("Throughput", "/s", flow),
        Panel("Latency from when it was due", "ms", _latencies(run, ok, width), log=True),
        Panel(
            "Failures",
            "/s",
            {
                name: _rate(((requests.due_us[each] / 1e6, 1) for each in numbers), width, seconds)
                for name, numbers in (("failed", requests.failed), ("dropped", requests.of(DROPPED)))
            },
        ),
    ]
    if run.samples:
        found += [
            Panel("Backlog", "messages", _sampled(run, "backlog")),
            Panel("Processor, all cores", "%", _largest(_sampled(run, "processor"))),
            Panel("Memory (PSS)", "MB", _largest(_sampled(run, "memory_mb"))),
        ]
    return found


def _due(run: Run) -> list[int]:
    return [number for number, at in enumerate(run.requests.arrived_us) if at >= 0]


def _rate(counted: Iterable[tuple[float, int]], width: float, seconds: float) -> Points:
    """Return what happened a second, from when and how many of it."""
    counts = [0] * math.ceil(seconds / width)
    for at, number in counted:
        counts[min(len(counts) - 1, max(0, int(at / width)))] += number
    spans = [min(width, seconds - slot * width) or width for slot in range(len(counts))]
    return [(slot * width + span / 2, counts[slot] / span) for slot, span in enumerate(spans)]


def _latencies(run: Run, ok: list[int], width: float) -> dict[str, Points]:
    slots: dict[int, list[float]] = {}
    for number in ok:
        due = run.requests.due_us[number]
        slots.setdefault(int(due / 1e6 / width), []).append((run.requests.done_us[number] - due) / 1000)
    return {
        name: [((slot + 0.5) * width, percentile(slots[slot], share)) for slot in sorted(slots)]
        for name, share in (("p50", 0.5), ("p99", 0.99), ("slowest", 1.0))
    }


def _sampled(run: Run, what: str) -> dict[str, Points]:
    names = sorted({name for each in run.samples for name in getattr(each, what)})
    return {
        name: [(each.at, getattr(each, what)[name]) for each in run.samples if name in getattr(each, what)]
        for name in names
    }


def _largest(lines: dict[str, Points], *, most: int = 5) -> dict[str, Points]:
    """Keep the largest by name; the others together are one more, in front of which stands the sum of all."""
    by_size = sorted(lines, key=lambda name: max(value for _, value in lines[name]), reverse=True)
    kept = {name: lines[name] for name in by_size[:most]}
    sums: dict[float, float] = {}
    for points in lines.values():
        for at, value in points:
            sums[at] = sums.get(at, 0.0) + value
    return {"all together": sorted(sums.items()), **kept}
