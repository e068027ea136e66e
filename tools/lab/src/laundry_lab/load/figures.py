"""The figures of a run, computed from its requests."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from laundry_lab.load.arrivals import DROPPED, NOT_SENT, OK
from laundry_lab.report import number, percentile

if TYPE_CHECKING:
    from laundry_lab.load.runs import Run

SHARES = {
    "p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "max": 1.0,
}  # fmt: skip
UNITS: dict[str, str] = {
    **dict.fromkeys(SHARES, "ms"),
    **{f"uncorrected_{name}": "ms" for name in SHARES},
    **{f"effect_{name}": "ms" for name in SHARES},
    **{f"lateness_{name}": "ms" for name in SHARES},
    "arrivals": "",
    "dropped": "",
    "failed": "",
    "refused": "",
    "not_sent": "",
    "accepted": "",
    "pending": "",
    "lost": "",
    "throughput": "/s",
    "backlog": "",
    "processor": "%",
    "memory": "MB",
    "drained": "s",
}
"""Every figure that a run may have, with its unit; thresholds use these names."""

WORDS = {
    "": "latency from when it was due",
    "uncorrected_": "latency from when it was sent",
    "effect_": "from when it was due to its effect",
    "lateness_": "lateness of the generator itself",
}


def figures(run: "Run") -> dict[str, float]:
    """Return what can be said of a run, by the names of ``UNITS``.

    A request that failed, was dropped or had no answer counts as one that never ends: its latency is
    infinite, so that no system looks better by refusing. Only those that were never due are left out.
    """
    requests = run.requests
    answered, asked = requests.of(OK), corrected(run)
    found: dict[str, float] = {
        "arrivals": len(asked),
        "dropped": len(requests.of(DROPPED)),
        "failed": len(requests.failed),
        "not_sent": len(requests.of(NOT_SENT)),
        "accepted": run.accepted,
    }
    found |= _percentiles("", asked)
    found |= _percentiles("uncorrected_", uncorrected(run))
    found |= _percentiles("lateness_", lateness(run))
    if run.plan["batch"] > 1:
        found["refused"] = run.refused
    if answered:
        span = max(requests.done_us[number] for number in answered) / 1e6
        found["throughput"] = run.photos_of(answered) / span
    if run.effects is not None:
        found |= _of_effects(run, run.effects)
    if run.drained_s is not None:
        found["drained"] = run.drained_s
    if run.samples:
        found["backlog"] = max(sum(each.backlog.values()) for each in run.samples)
        found["processor"] = max(sum(each.processor.values()) for each in run.samples)
        found["memory"] = max(sum(each.memory_mb.values()) for each in run.samples)
    return found


def _of_effects(run: "Run", effects: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Return what can be said of effects: of what still waits it is not known how long it will have taken."""
    missing = max(0, run.accepted - len(effects))
    found = _percentiles("effect_", [took for _, took in effects] + [math.inf] * missing)
    if run.pending or run.interrupted:
        known = {name: value for name, value in found.items() if math.isfinite(value)}
        return {**known, "pending": run.pending}
    return {**found, "pending": 0, "lost": missing}


def told(value: float | None) -> str:
    """Write a figure, also one that was not measured, or of requests that never end."""
    if value is None:
        return "not measured"
    return "never" if value == math.inf else number(value)


def corrected(run: "Run") -> list[float]:
    """Return each request's latency from when it was due, in seconds, in the order of the schedule."""
    requests = run.requests
    ok, unsent = set(requests.of(OK)), set(requests.of(NOT_SENT))
    return [
        (requests.done_us[number] - due) / 1e6 if number in ok else math.inf
        for number, due in enumerate(requests.due_us)
        if number not in unsent
    ]


def uncorrected(run: "Run") -> list[float]:
    """Return the latencies of answered requests from when they were sent, as many generators count."""
    requests = run.requests
    return [(requests.done_us[number] - requests.sent_us[number]) / 1e6 for number in requests.of(OK)]


def lateness(run: "Run") -> list[float]:
    """Return how late the generator came to each request, whether or not a connection was free then."""
    requests = run.requests
    pairs = zip(requests.arrived_us, requests.due_us, strict=True)
    return [max(0, arrived - due) / 1e6 for arrived, due in pairs if arrived >= 0]


def _percentiles(prefix: str, seconds: Iterable[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    if not ordered:
        return {}
    return {f"{prefix}{name}": 1000 * percentile(ordered, share) for name, share in SHARES.items()}


def histogram(seconds: Sequence[float], edges: Sequence[float]) -> list[int]:
    """Count values between edges; values beyond the last edge are not counted."""
    counts = [0] * (len(edges) - 1)
    first = 0
    for value in sorted(seconds):
        while first < len(counts) and value > edges[first + 1]:
            first += 1
        if first == len(counts):
            break
        counts[first] += 1
    return counts


def edges(seconds: Iterable[float], *, bins: int = 48) -> list[float]:
    """Return edges in geometric steps that span all finite values."""
    finite = [value for value in seconds if 0 < value < math.inf] or [0.001, 1.0]
    low, high = min(finite) * 0.999, max(finite) * 1.001
    return [low * (high / low) ** (turn / bins) for turn in range(bins + 1)]
