"""What equipment sends, and which of it can be believed: units, plausible values, clocks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from laundry_events.events import BranchId

MAX_SAMPLES = 500
MAX_METRICS = 32
FUTURE = timedelta(minutes=5)
TOO_OLD = timedelta(hours=24)

# "reported" would make the routing key of the queue itself, "stream" is a path of the API.
RESERVED_IDS = frozenset({"reported", "stream"})

EquipmentId = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_:-]{0,63}$",
        description="No dots or slashes: it is one level of an MQTT topic",
        examples=["washer-7"],
    ),
]
Kind = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", examples=["washer"])]
FaultCode = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:/-]{1,40}$", examples=["E21"])]
MetricName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Value = Annotated[float, Field(strict=True, allow_inf_nan=False)]


_equipment_id: TypeAdapter[str] = TypeAdapter(EquipmentId)


def is_equipment_id(text: object) -> bool:
    """Whether a text can be an equipment's id."""
    try:
        return _equipment_id.validate_python(text, strict=True) not in RESERVED_IDS
    except ValidationError:
        return False


class Sample(BaseModel):
    """One look at one piece of equipment."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    equipment_id: EquipmentId
    branch_id: BranchId
    kind: Kind
    recorded_at: Annotated[AwareDatetime, Field(strict=True, description="The equipment's clock, RFC 3339")]
    fault_code: FaultCode | None = Field(default=None, description="Leave it out while nothing is wrong")
    metrics: Annotated[dict[MetricName, Value], Field(max_length=MAX_METRICS)] = Field(
        default={}, examples=[{"temperature_celsius": 71.5}]
    )


class Telemetry(BaseModel):
    """One or many samples, of one or many pieces of equipment."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    samples: Annotated[list[Sample], Field(min_length=1, max_length=MAX_SAMPLES)]


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


@dataclass(frozen=True)
class Trouble:
    """Something about one sample of a request.

    Attributes:
        code: a stable word in kebab-case.
        detail: what is wrong and what to send instead.
    """

    index: int
    code: str
    detail: str


class BadTelemetry(Exception):
    """Nothing of the request can be taken; every trouble that was found is told."""

    def __init__(self, code: str, detail: str, troubles: Sequence[Trouble] = ()) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.troubles = tuple(troubles)


def parse(body: bytes) -> list[Sample]:
    """Read a telemetry document, as it comes by HTTP or MQTT.

    Raises:
        BadTelemetry: ``malformed-json``, or ``invalid-request`` with the place.
    """
    try:
        return Telemetry.model_validate_json(body).samples
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        raise BadTelemetry("malformed-json", f'Send JSON like {{"samples": [...]}}. {found[0]["msg"]}')
    troubles = []
    for item in found[:20]:
        place = ".".join(str(part) for part in item["loc"]) or "body"
        at = item["loc"][1] if len(item["loc"]) > 1 and isinstance(item["loc"][1], int) else 0
        troubles.append(Trouble(at, "invalid-request", f"{place}: {item['msg']}"))
    raise BadTelemetry("invalid-request", troubles[0].detail, troubles)


def check(samples: Sequence[Sample], metrics: Mapping[str, Range], *, now: datetime) -> None:
    """Refuse samples whose units, values or clock cannot be right.

    Raises:
        BadTelemetry: with the first trouble's code and all troubles.
    """
    troubles: list[Trouble] = []
    for index, sample in enumerate(samples):
        if not is_equipment_id(sample.equipment_id):
            troubles.append(
                Trouble(index, "invalid-request", f"{sample.equipment_id!r} cannot be an equipment id.")
            )
        if sample.recorded_at > now + FUTURE:
            ahead = (sample.recorded_at - now).total_seconds()
            troubles.append(
                Trouble(
                    index,
                    "recorded-in-future",
                    f"recorded_at is {ahead:.0f} s ahead of the time here ({_time(now)}); at most "
                    f"{FUTURE.total_seconds():.0f} s is taken. Set the equipment's clock and send it again.",
                )
            )
        troubles.extend(
            Trouble(index, code, detail)
            for name, value in sample.metrics.items()
            for code, detail in _doubts(name, value, metrics)
        )
    if troubles:
        first = troubles[0]
        raise BadTelemetry(first.code, f"samples.{first.index}: {first.detail}", troubles)


def _doubts(name: str, value: float, metrics: Mapping[str, Range]) -> list[tuple[str, str]]:
    known = metrics.get(name)
    if known is None:
        quantity = name.split("_", 1)[0]
        same = [other for other in metrics if other.split("_", 1)[0] == quantity]
        send = f"Send {' or '.join(same)}" if same else f"Send one of {', '.join(sorted(metrics))}"
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


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
