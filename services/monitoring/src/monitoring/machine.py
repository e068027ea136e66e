"""What is remembered of a machine and its faults, and what the detection of faults comes to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from monitoring.alert_damping import DampingPolicy, DampingState
from monitoring.fault_rules import FaultDetails, FaultKey, FaultState
from monitoring.timeline import SampleTime, Timeline

Via = Literal["http", "mqtt"]


class MachineKey(NamedTuple):
    """Where a machine stands and its name there: two branches may use one name."""

    branch_id: str
    equipment_id: str


@dataclass(frozen=True)
class Contact:
    """How a machine's samples arrived.

    Attributes:
        token_branches: the branches of its own token; ``None`` if another sender spoke for it.
    """

    via: Via
    token_branches: frozenset[str] | None = None


@dataclass(frozen=True)
class Fault:
    """A fault of the machine.

    Attributes:
        recorded_at: when it happened by the machine's clock; ``None`` for silence.
        count: how many beginnings, or codes, it stands for.
        codes: the codes, if it stands for several.
        alert_due_at: when it may alert; ``None`` once it has.
        alerted_count: its count at its last alert.
    """

    id: str
    details: FaultDetails
    detected_at: datetime
    recorded_at: datetime | None = None
    clock_off: bool = False
    count: int = 1
    codes: tuple[str, ...] = ()
    alert_due_at: datetime | None = None
    alerted_count: int = 0
    flapping: bool = False


@dataclass(frozen=True)
class DetectionPolicy:
    """The settings by which faults are detected.

    Attributes:
        late_hold: so long a fault that came late is held, for what may take it back.
        longest_late_hold: it alerts after this, however much more comes late.
    """

    limit_for: timedelta
    max_codes: int = 8
    late_hold: timedelta = timedelta(seconds=5)
    longest_late_hold: timedelta = timedelta(seconds=60)
    damping: DampingPolicy = field(default_factory=DampingPolicy)


@dataclass(frozen=True)
class Report:
    """What matters here of a sample.

    Attributes:
        clock_unreadable: its own time could not be read; ``recorded_at`` is when it arrived.
    """

    recorded_at: datetime
    fault_code: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    clock_unreadable: bool = False


@dataclass(frozen=True)
class OpenFault:
    """A fault that is open.

    Attributes:
        unconfirmed: it was reported out of order, so that it may be over already.
    """

    fault: Fault
    unconfirmed: bool


@dataclass
class MachineState:
    """What is remembered of a machine; detection changes it.

    Attributes:
        faults: those that are open.
    """

    fault_state: FaultState = field(default_factory=FaultState)
    timeline: Timeline = field(default_factory=Timeline)
    damping: DampingState = field(default_factory=DampingState)
    faults: dict[FaultKey, Fault] = field(default_factory=dict)

    def open_faults(self) -> dict[str, OpenFault]:
        """Return the open faults by their ids, as they are now."""
        return {
            fault.id: OpenFault(fault, key in self.fault_state.unconfirmed)
            for key, fault in self.faults.items()
        }


@dataclass(frozen=True)
class Alert:
    """A fault to tell people of, and how many faults it stands for."""

    fault: Fault
    count: int


@dataclass(frozen=True)
class EndedFault:
    """A fault that is over, and by what."""

    fault: Fault
    reason: str


@dataclass
class Outcome:
    """What detection came to.

    Attributes:
        sample_times: when each sample happened, in the order given.
        newest: the index of the newest sample, unless all lie before what was known.
        ended: faults that are over, by their ids; also those that began just now.
    """

    sample_times: list[SampleTime] = field(default_factory=list)
    newest: int | None = None
    ended: dict[str, EndedFault] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
