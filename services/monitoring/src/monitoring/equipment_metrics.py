"""The metrics of equipment: their units and plausible ranges. Pure rules.

A value that cannot be right is left out, with an issue that says so. The rest of its sample counts.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

MAX_METRICS = 32
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True)
class MetricIssue:
    """Why a value was left out: a stable word in kebab-case, and what is wrong and what to send instead."""

    code: str
    detail: str


@dataclass(frozen=True)
class MetricReading:
    """The values that can be right, and why the others cannot."""

    values: Mapping[str, float] = field(default_factory=dict)
    issues: tuple[MetricIssue, ...] = ()


class Range(BaseModel):
    """The plausible range of a metric; outside, the sensor or the unit is wrong."""

    model_config = ConfigDict(frozen=True)

    min: float
    max: float


METRICS: Mapping[str, Range] = {
    "temperature_celsius": Range(min=-40, max=300),
    "humidity_percent": Range(min=0, max=100),
    "vibration_mm_s": Range(min=0, max=500),
    "spin_rpm": Range(min=0, max=3000),
    "pressure_bar": Range(min=0, max=40),
    "water_level_mm": Range(min=0, max=5000),
    "water_flow_l_min": Range(min=0, max=1000),
    "current_ampere": Range(min=0, max=400),
    "voltage_volt": Range(min=0, max=1000),
    "power_watt": Range(min=0, max=200_000),
    "energy_kwh": Range(min=0, max=10_000_000),
    "load_kg": Range(min=0, max=1000),
    "cycle_s": Range(min=0, max=86_400),
    "airflow_m3_h": Range(min=0, max=50_000),
}


def check_metrics(values: Mapping[str, float], metrics: Mapping[str, Range]) -> MetricReading:
    """Leave out the values that cannot be right."""
    issues = {name: _issue(name, value, metrics) for name, value in values.items()}
    found = tuple(issue for issue in issues.values() if issue is not None)
    if not found:
        return MetricReading(values)
    return MetricReading({name: value for name, value in values.items() if issues[name] is None}, found)


def read_metrics(value: object, metrics: Mapping[str, Range]) -> MetricReading:
    """Read metrics of any shape."""
    if value is None:
        return MetricReading()
    if not isinstance(value, dict):
        detail = 'metrics: send an object like {"temperature_celsius": 71.5}.'
        return MetricReading(issues=(MetricIssue("metrics-unreadable", detail),))
    issues: list[MetricIssue] = []
    numbers: dict[str, float] = {}
    for name, item in value.items():
        number = _number(item)
        if not _NAME.fullmatch(name):
            detail = f"{name!r:.80} is no name of a metric; {_known(metrics)}"
            issues.append(MetricIssue("unknown-metric", detail))
        elif number is None:
            detail = f"{name} = {item!r:.80} is no number; send one like 71.5."
            issues.append(MetricIssue("value-unreadable", detail))
        else:
            numbers[name] = number
    if len(numbers) > MAX_METRICS:
        detail = f"At most {MAX_METRICS} metrics are taken of a sample."
        issues.append(MetricIssue("too-many-metrics", detail))
        numbers = dict(list(numbers.items())[:MAX_METRICS])
    checked = check_metrics(numbers, metrics)
    return MetricReading(checked.values, (*issues[:MAX_METRICS], *checked.issues))


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _issue(name: str, value: float, metrics: Mapping[str, Range]) -> MetricIssue | None:
    known = metrics.get(name)
    if known is None:
        quantity = name.split("_", 1)[0]
        same = [other for other in metrics if other.split("_", 1)[0] == quantity]
        send = f"Send {' or '.join(same)}" if same else _known(metrics)
        what = "is in a unit that is not taken here" if same else "is not a known metric"
        return MetricIssue("unknown-metric", f"{name} {what}. {send}; the name carries the unit.")
    if not known.min <= value <= known.max:
        detail = (
            f"{name} = {value:g} cannot be right: it lies between {known.min:g} and {known.max:g}. "
            "Check the sensor and the unit."
        )
        return MetricIssue("impossible-value", detail)
    return None


def _known(metrics: Mapping[str, Range]) -> str:
    return f"Send one of {', '.join(sorted(metrics))}"
