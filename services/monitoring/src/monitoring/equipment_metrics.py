"""The quantities that equipment measures: their units and the values that they can have. Pure rules.

A value that cannot be is left out with a word on it. It says nothing against the rest of its sample.
"""

import math
import re
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

MAX_METRICS = 32
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

Doubt = tuple[str, str]
"""A stable word in kebab-case, and what is wrong and what to send instead."""


class Range(BaseModel):
    """Values that a metric can have at all; outside, the sensor or the unit is wrong."""

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


def believable(
    said: Mapping[str, float], metrics: Mapping[str, Range]
) -> tuple[Mapping[str, float], list[Doubt]]:
    """Return the values that can be, and why the others cannot."""
    doubts = [doubt for name, value in said.items() for doubt in _doubts(name, value, metrics)]
    if not doubts:
        return said, []
    return {name: value for name, value in said.items() if not _doubts(name, value, metrics)}, doubts


def readable(said: object, metrics: Mapping[str, Range]) -> tuple[dict[str, float], list[Doubt]]:
    """Read metrics of any shape: the values that can be, and why the others cannot."""
    if said is None:
        return {}, []
    if not isinstance(said, dict):
        return {}, [("metrics-unreadable", 'metrics: send an object like {"temperature_celsius": 71.5}.')]
    doubts: list[Doubt] = []
    numbers: dict[str, float] = {}
    for name, value in said.items():
        number = _number(value)
        if not _NAME.fullmatch(name):
            doubts.append(("unknown-metric", f"{name!r:.80} is no name of a metric; {_known(metrics)}"))
        elif number is None:
            doubts.append(("value-unreadable", f"{name} = {value!r:.80} is no number; send one like 71.5."))
        else:
            numbers[name] = number
    if len(numbers) > MAX_METRICS:
        doubts.append(("too-many-metrics", f"At most {MAX_METRICS} metrics are taken of a sample."))
        numbers = dict(list(numbers.items())[:MAX_METRICS])
    good, others = believable(numbers, metrics)
    return dict(good), [*doubts[:MAX_METRICS], *others]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _doubts(name: str, value: float, metrics: Mapping[str, Range]) -> list[Doubt]:
    known = metrics.get(name)
    if known is None:
        quantity = name.split("_", 1)[0]
        same = [other for other in metrics if other.split("_", 1)[0] == quantity]
        send = f"Send {' or '.join(same)}" if same else _known(metrics)
        what = "is in a unit that is not taken here" if same else "is not a known metric"
        return [("unknown-metric", f"{name} {what}. {send}; the name carries the unit.")]
    if not known.min <= value <= known.max:
        return [
            (
                "impossible-value",
                f"{name} = {value:g} cannot be: it lies between {known.min:g} and {known.max:g}. "
                "Check the sensor and the unit.",
            )
        ]
    return []


def _known(metrics: Mapping[str, Range]) -> str:
    return f"Send one of {', '.join(sorted(metrics))}"
