"""What equipment sends, and what of it can be believed. Each sample is judged alone.

A body that is as it should be is read at once. One that is not is read sample by sample, and of each as much
as can be: a fault code is never dropped for a sensor, a clock or a neighbour.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from laundry_events.events import BranchId
from laundry_events.moments import HOW, Moment
from monitoring.equipment_metrics import MAX_METRICS, Range, believable, readable
from monitoring.fault_codes import read_code

MAX_SAMPLES = 500
KIND_UNKNOWN = "other"

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
_branch_id: TypeAdapter[str] = TypeAdapter(BranchId)
_kind: TypeAdapter[str] = TypeAdapter(Kind)
_moment: TypeAdapter[datetime] = TypeAdapter(Moment)


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
    recorded_at: Annotated[Moment, Field(description="The equipment's clock, RFC 3339")]
    fault_code: FaultCode | None = Field(default=None, description="Leave it out while nothing is wrong")
    metrics: Annotated[dict[MetricName, Value], Field(max_length=MAX_METRICS)] = Field(
        default={}, examples=[{"temperature_celsius": 71.5}]
    )


class Telemetry(BaseModel):
    """One or many samples, of one or many pieces of equipment."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    samples: Annotated[list[Sample], Field(min_length=1, max_length=MAX_SAMPLES)]


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
    """The request is no telemetry at all; every trouble that was found is told."""

    def __init__(self, code: str, detail: str, troubles: Sequence[Trouble] = ()) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.troubles = tuple(troubles)


@dataclass(frozen=True)
class Looked:
    """A sample that can be judged.

    Attributes:
        index: its place in the request.
        clockless: it said no readable time; ``recorded_at`` is when it arrived.
    """

    index: int
    sample: Sample
    clockless: bool = False


@dataclass
class Parsed:
    """What a request said: what can be judged, what was refused, and what there is to say of either."""

    looks: list[Looked] = field(default_factory=list)
    refused: list[Trouble] = field(default_factory=list)
    problems: list[Trouble] = field(default_factory=list)


def parse(body: bytes, metrics: Mapping[str, Range], *, now: datetime) -> Parsed:
    """Read a telemetry document, as it comes by HTTP or MQTT.

    Args:
        metrics: those that are known, with the values they can have.
        now: the time of a sample whose own cannot be read but that reports a fault.

    Raises:
        BadTelemetry: ``malformed-json``, or ``invalid-request`` where there are no samples to look at.
    """
    found = Parsed()
    try:
        samples = Telemetry.model_validate_json(body).samples
    except ValidationError:
        for index, item in enumerate(_items(body)):
            _salvage(found, index, item, metrics, now)
        return found
    for index, sample in enumerate(samples):
        if sample.equipment_id in RESERVED_IDS:
            _refuse(found, index, f"{sample.equipment_id!r} cannot be an equipment id")
            continue
        good, doubts = believable(sample.metrics, metrics)
        if doubts:
            found.problems += [Trouble(index, code, detail) for code, detail in doubts]
        taken = sample.model_copy(update={"metrics": good}) if doubts else sample
        found.looks.append(Looked(index, taken))
    return found


def _items(body: bytes) -> list[Any]:
    try:
        document = from_json(body)
    except ValueError as error:
        raise BadTelemetry("malformed-json", f'Send JSON like {{"samples": [...]}}. {error}') from error
    samples = document.get("samples") if isinstance(document, dict) else None
    if not isinstance(samples, list) or not 1 <= len(samples) <= MAX_SAMPLES:
        detail = f'samples: send {{"samples": [...]}} with 1 to {MAX_SAMPLES} samples'
        raise BadTelemetry("invalid-request", detail, [Trouble(0, "invalid-request", detail)])
    return samples


def _refuse(found: Parsed, index: int, why: str) -> None:
    found.refused.append(Trouble(index, "invalid-request", f"samples.{index}: {why}"))


def _salvage(found: Parsed, index: int, item: Any, metrics: Mapping[str, Range], now: datetime) -> None:
    """Read as much of a sample as can be."""
    if not isinstance(item, dict):
        _refuse(found, index, "a sample is an object")
        return
    problems: list[Trouble] = []

    def note(code: str, detail: str) -> None:
        problems.append(Trouble(index, code, detail))

    equipment_id: Any = item.get("equipment_id")
    branch_id = _read(_branch_id, item.get("branch_id"))
    if not is_equipment_id(equipment_id) or branch_id is None:
        what = "branch_id" if is_equipment_id(equipment_id) else "equipment_id"
        _refuse(
            found, index, f"{what} {item.get(what)!r:.80} cannot be one; whose sample it is, is not known"
        )
        return
    fault_code, spelt = read_code(item.get("fault_code"))
    if spelt is not None:
        note("fault-code-changed", spelt)
    kind, recorded_at = _read(_kind, item.get("kind")), _read(_moment, item.get("recorded_at"))
    if fault_code is None and (kind is None or recorded_at is None):
        missing = "kind: a word like washer" if recorded_at is not None else f"recorded_at: {HOW}"
        _refuse(found, index, missing)
        return
    if kind is None:
        note(
            "kind-unreadable", f"kind {item.get('kind')!r:.80} cannot be one; its limits are those of other."
        )
    if recorded_at is None:
        note("clock-unreadable", f"recorded_at {item.get('recorded_at')!r:.80} is no moment: {HOW}.")
    good, doubts = readable(item.get("metrics"), metrics)
    for code, detail in doubts:
        note(code, detail)
    sample = Sample.model_construct(
        equipment_id=equipment_id,
        branch_id=branch_id,
        kind=kind or KIND_UNKNOWN,
        recorded_at=recorded_at or now,
        fault_code=fault_code,
        metrics=good,
    )
    found.problems += problems
    found.looks.append(Looked(index, sample, clockless=recorded_at is None))


def _read(adapter: TypeAdapter[Any], said: object) -> Any:
    try:
        return adapter.validate_python(said)
    except ValidationError:
        return None
