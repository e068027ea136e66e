"""What equipment sends, and what of it is taken. Each sample is judged by itself.

A well-formed body is read at once. Any other is read sample by sample, and of each as much as possible: a
fault code is never dropped because of a sensor, a clock or another sample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from laundry_events.events import BranchId
from laundry_events.moments import HOW, Moment
from monitoring.equipment_metrics import MAX_METRICS, Range, check_metrics, read_metrics
from monitoring.fault_codes import read_code
from monitoring.sample_issues import SampleIssue

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
    """One sample of one piece of equipment."""

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


class InvalidTelemetry(Exception):
    """The request holds no samples that could be looked at.

    Attributes:
        code: a stable word in kebab-case.
        detail: what is wrong and what to send instead.
    """

    def __init__(self, code: str, detail: str, issues: Sequence[SampleIssue] = ()) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.issues = tuple(issues)


@dataclass(frozen=True)
class IndexedSample:
    """A sample that can be evaluated.

    Attributes:
        index: its place in the request.
        clock_unreadable: its own time could not be read; ``recorded_at`` is when it arrived.
    """

    index: int
    sample: Sample
    clock_unreadable: bool = False


@dataclass
class ParsedTelemetry:
    """What a request holds: samples to evaluate, those refused, and issues of those that are taken."""

    samples: list[IndexedSample] = field(default_factory=list)
    refused: list[SampleIssue] = field(default_factory=list)
    problems: list[SampleIssue] = field(default_factory=list)

    def refuse_unauthorised(self, sender: str | None, branches: frozenset[str] | None) -> None:
        """Refuse the samples for which the sender may not speak.

        Args:
            sender: the equipment that sent it; ``None`` if the sender may send for any.
            branches: those that its token names; ``None`` for all.
        """
        allowed: list[IndexedSample] = []
        for each in self.samples:
            sample = each.sample
            if sender is not None and sample.equipment_id != sender:
                code = "equipment-forbidden"
                why = f"a device sends samples of itself only: {sender!r} sent one of {sample.equipment_id!r}"
            elif branches is not None and sample.branch_id not in branches:
                code, why = "branch-forbidden", f"the token does not name the branch {sample.branch_id!r}"
            else:
                allowed.append(each)
                continue
            self.refused.append(SampleIssue(each.index, code, f"samples.{each.index}: {why}."))
        self.samples = allowed


def parse(body: bytes, metrics: Mapping[str, Range], *, now: datetime) -> ParsedTelemetry:
    """Read a telemetry document, as it comes by HTTP or MQTT.

    Args:
        metrics: the known ones, with the values they can have.
        now: the time of a sample whose own cannot be read but that reports a fault.

    Raises:
        InvalidTelemetry: ``malformed-json``, or ``invalid-request`` where there are no samples to look at.
    """
    parsed = ParsedTelemetry()
    try:
        samples = Telemetry.model_validate_json(body).samples
    except ValidationError:
        for index, item in enumerate(_items(body)):
            _read_leniently(parsed, index, item, metrics, now)
        return parsed
    for index, sample in enumerate(samples):
        if sample.equipment_id in RESERVED_IDS:
            _refuse(parsed, index, f"{sample.equipment_id!r} cannot be an equipment id")
            continue
        checked = check_metrics(sample.metrics, metrics)
        parsed.problems += [SampleIssue(index, issue.code, issue.detail) for issue in checked.issues]
        taken = sample.model_copy(update={"metrics": checked.values}) if checked.issues else sample
        parsed.samples.append(IndexedSample(index, taken))
    return parsed


def _items(body: bytes) -> list[Any]:
    try:
        document = from_json(body)
    except ValueError as error:
        raise InvalidTelemetry("malformed-json", f'Send JSON like {{"samples": [...]}}. {error}') from error
    samples = document.get("samples") if isinstance(document, dict) else None
    if not isinstance(samples, list) or not 1 <= len(samples) <= MAX_SAMPLES:
        detail = f'samples: send {{"samples": [...]}} with 1 to {MAX_SAMPLES} samples'
        raise InvalidTelemetry("invalid-request", detail, [SampleIssue(0, "invalid-request", detail)])
    return samples


def _refuse(parsed: ParsedTelemetry, index: int, why: str) -> None:
    parsed.refused.append(SampleIssue(index, "invalid-request", f"samples.{index}: {why}"))


def _read_leniently(
    parsed: ParsedTelemetry, index: int, item: Any, metrics: Mapping[str, Range], now: datetime
) -> None:
    """Read as much of a sample as possible."""
    if not isinstance(item, dict):
        _refuse(parsed, index, "a sample is an object")
        return
    problems: list[SampleIssue] = []

    def note(code: str, detail: str) -> None:
        problems.append(SampleIssue(index, code, detail))

    equipment_id: Any = item.get("equipment_id")
    branch_id = _valid(_branch_id, item.get("branch_id"))
    if not is_equipment_id(equipment_id) or branch_id is None:
        what = "branch_id" if is_equipment_id(equipment_id) else "equipment_id"
        _refuse(parsed, index, f"{item.get(what)!r:.80} is no {what}: the sample cannot be assigned")
        return
    fault_code = read_code(item.get("fault_code"))
    if fault_code.remark is not None:
        note("fault-code-changed", fault_code.remark)
    kind, recorded_at = _valid(_kind, item.get("kind")), _valid(_moment, item.get("recorded_at"))
    if fault_code.code is None and (kind is None or recorded_at is None):
        missing = "kind: a word like washer" if recorded_at is not None else f"recorded_at: {HOW}"
        _refuse(parsed, index, missing)
        return
    if kind is None:
        note("kind-unreadable", f"{item.get('kind')!r:.80} is no kind; the limits of other apply.")
    if recorded_at is None:
        note("clock-unreadable", f"recorded_at {item.get('recorded_at')!r:.80} is no moment: {HOW}.")
    read = read_metrics(item.get("metrics"), metrics)
    for issue in read.issues:
        note(issue.code, issue.detail)
    sample = Sample.model_construct(
        equipment_id=equipment_id,
        branch_id=branch_id,
        kind=kind or KIND_UNKNOWN,
        recorded_at=recorded_at or now,
        fault_code=fault_code.code,
        metrics=dict(read.values),
    )
    parsed.problems += problems
    parsed.samples.append(IndexedSample(index, sample, clock_unreadable=recorded_at is None))


def _valid(adapter: TypeAdapter[Any], value: object) -> Any:
    """Return the value if the adapter takes it, else ``None``."""
    try:
        return adapter.validate_python(value)
    except ValidationError:
        return None
