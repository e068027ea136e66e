"""Bodies of answers. Samples are read by ``telemetry``, as those that come by MQTT."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, Field, PlainSerializer

from monitoring.fault_handling import Handling
from monitoring.fault_rules import Cause
from monitoring.repository.equipment import EquipmentState, StoredEquipment, StoredFault
from monitoring.repository.handling import HandledFault
from monitoring.sample_issues import SampleIssue


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[AwareDatetime, PlainSerializer(_rfc3339, return_type=str)]


class SampleProblem(BaseModel):
    """A remark on one sample of the request."""

    index: int
    code: str
    detail: str

    @classmethod
    def of_all(cls, issues: Sequence[SampleIssue]) -> list[Self]:
        """Make the remarks on a request's samples."""
        return [cls(index=issue.index, code=issue.code, detail=issue.detail) for issue in issues]


class TelemetryTaken(BaseModel):
    """The outcome per sample; the three counts and the refused ones add up to the number sent."""

    accepted: int
    duplicate: int
    ignored: int
    refused: list[SampleProblem] = Field(default=[], description="Samples that were not taken, and why")
    problems: list[SampleProblem] = Field(description="What there is to say of samples that were taken")


class LastSample(BaseModel):
    """The newest sample by the equipment's own clock."""

    recorded_at: Moment
    received_at: Moment
    fault_code: str | None
    metrics: dict[str, float]


class FaultView(BaseModel):
    """One fault, open until ``cleared_at``."""

    id: str
    cause: Cause
    fault_code: str | None
    metric: str | None
    value: float | None
    limit: float | None
    detected_at: Moment
    cleared_at: Moment | None
    cleared_by: str | None = Field(
        description="code-gone, within-limit, limit-removed, heard-again, moved or retired"
    )
    recorded_at: Moment | None = Field(
        default=None, description="When it began by the machine's clock; detected_at is when that arrived"
    )
    clock_off: bool = Field(default=False, description="recorded_at is not to be trusted")
    count: int = Field(default=1, description="How many beginnings, or codes, it stands for")
    codes: list[str] = Field(default=[], description="The codes, if it stands for several")
    told_at: Moment | None = Field(
        default=None, description="When people were last told of it; none while it is held, see due_at"
    )
    due_at: Moment | None = Field(default=None, description="When they will be told if it is still open")
    flapping: bool = Field(default=False, description="It comes and goes, so that it is told less often")
    handling: Handling = Field(
        default="open",
        description="open, acknowledged, escalated (passed on because nobody acknowledged it) or closed",
    )
    acknowledged_at: Moment | None = None
    acknowledged_by: str | None = Field(default=None, description="Who takes care of it: a token's subject")
    escalation: int = Field(default=0, description="How often it was passed on")
    escalated_at: Moment | None = Field(default=None, description="When it was passed on last")
    escalates_at: Moment | None = Field(
        default=None, description="When it is passed on next, unless it is acknowledged or over before"
    )

    @classmethod
    def of(cls, fault: StoredFault) -> Self:
        """Make the view of a stored fault."""
        return cls(
            id=fault.id,
            cause=fault.cause,
            fault_code=fault.fault_code,
            metric=fault.metric,
            value=fault.value,
            limit=fault.limit_value,
            detected_at=fault.detected_at,
            cleared_at=fault.cleared_at,
            cleared_by=fault.cleared_by,
            recorded_at=fault.recorded_at,
            clock_off=fault.clock_off,
            count=fault.count,
            codes=fault.codes,
            told_at=fault.rung_at,
            due_at=None if fault.cleared_at else fault.due_at,
            flapping=fault.flapping,
            handling=fault.handling,
            acknowledged_at=fault.acknowledged_at,
            acknowledged_by=fault.acknowledged_by,
            escalation=fault.escalation,
            escalated_at=fault.escalated_at,
            escalates_at=fault.escalate_at if fault.handling in {"open", "escalated"} else None,
        )


class HandledFaultView(FaultView):
    """A fault with its machine."""

    equipment_id: str
    branch_id: str
    kind: str | None = Field(description="washer, dryer, boiler, ...; null once the machine is gone")

    @classmethod
    def with_machine(cls, found: HandledFault) -> Self:
        """Make the view of a fault and its machine."""
        machine = found.machine
        shown = dict(FaultView.of(found.fault))
        return cls(**shown, equipment_id=machine.equipment_id, branch_id=machine.branch_id, kind=found.kind)


class FaultPage(BaseModel):
    """One page, newest fault first."""

    items: list[HandledFaultView]
    next_cursor: str | None


class EquipmentView(BaseModel):
    """A piece of equipment."""

    id: str
    branch_id: str
    kind: str
    state: EquipmentState
    first_seen_at: Moment
    last_sample: LastSample | None
    open_faults: list[FaultView]

    @classmethod
    def of(cls, equipment: StoredEquipment) -> Self:
        """Make the view of stored equipment."""
        return cls(
            id=equipment.key.equipment_id,
            branch_id=equipment.key.branch_id,
            kind=equipment.kind,
            state="faulty" if equipment.is_faulty else "ok",
            first_seen_at=equipment.first_seen_at,
            last_sample=_last_sample(equipment),
            open_faults=[FaultView.of(fault) for fault in equipment.open_faults],
        )


def _last_sample(equipment: StoredEquipment) -> LastSample | None:
    if equipment.recorded_at is None or equipment.received_at is None:
        return None
    return LastSample(
        recorded_at=equipment.recorded_at,
        received_at=equipment.received_at,
        fault_code=equipment.fault_code,
        metrics=equipment.metrics,
    )


class EquipmentDetail(EquipmentView):
    """A piece of equipment with its newest faults, cleared ones too."""

    recent_faults: list[FaultView]


class EquipmentPage(BaseModel):
    """One page, newest equipment first."""

    items: list[EquipmentView]
    next_cursor: str | None
