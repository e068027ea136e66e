"""Settings of the monitoring service, from ``LAUNDRY_*`` environment variables."""

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from laundry_events.topology import TELEMETRY_EXCHANGE, VHOST
from laundry_service.settings import DatabaseSettings
from monitoring.alert_damping import DampingPolicy
from monitoring.equipment_metrics import METRICS, Range
from monitoring.fault_handling import EscalationPolicy
from monitoring.fault_rules import Limit
from monitoring.machine import DetectionPolicy

OTHER = "other"
HYSTERESIS = 0.05


class Bounds(BaseModel):
    """Limits of one metric; ``clear_*`` default to 5 % inside."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max: float | None = None
    clear_max: float | None = None
    min: float | None = None
    clear_min: float | None = None

    @model_validator(mode="after")
    def _check_order(self) -> "Bounds":
        if self.max is None and self.min is None:
            raise ValueError("give max, min or both")
        if self.max is not None and self.clear_max is not None and self.clear_max > self.max:
            raise ValueError("clear_max lies above max: the fault would be over while the limit is broken")
        if self.min is not None and self.clear_min is not None and self.clear_min < self.min:
            raise ValueError("clear_min lies below min: the fault would be over while the limit is broken")
        return self

    def limits(self, metric: str) -> list[Limit]:
        """Return the rules that these bounds make."""
        found = []
        if self.max is not None:
            inside = self.max - abs(self.max) * HYSTERESIS
            found.append(Limit(metric, "max", self.max, inside if self.clear_max is None else self.clear_max))
        if self.min is not None:
            inside = self.min + abs(self.min) * HYSTERESIS
            found.append(Limit(metric, "min", self.min, inside if self.clear_min is None else self.clear_min))
        return found


KindLimits = dict[str, Bounds]

# Commercial machines: a 90 °C wash, a dryer's exhaust, a low-pressure boiler; ISO 10816-1 puts class III
# machines above 11.2 mm/s of vibration into its damage zone.
LIMITS: dict[str, KindLimits] = {
    "washer": {
        "temperature_celsius": Bounds(max=95),
        "vibration_mm_s": Bounds(max=12),
        "current_ampere": Bounds(max=63),
    },
    "dryer": {
        "temperature_celsius": Bounds(max=110),
        "vibration_mm_s": Bounds(max=12),
        "current_ampere": Bounds(max=63),
    },
    "boiler": {
        "temperature_celsius": Bounds(max=120),
        "pressure_bar": Bounds(max=6, min=0.5),
    },
    OTHER: {
        "temperature_celsius": Bounds(max=120),
        "vibration_mm_s": Bounds(max=18),
    },
}


class Settings(DatabaseSettings):
    """Settings of the monitoring service."""

    limits: dict[str, KindLimits] = Field(
        default={}, description="JSON by kind, replacing the defaults of the kinds it names"
    )
    metrics: dict[str, Range] = Field(
        default={}, description="JSON of further metrics, or other ranges of known ones"
    )
    limit_for_s: float = Field(default=30, ge=0, description="How long a limit must stay broken")
    heartbeat_after_s: float = Field(default=120, gt=0, description="Silence that is a fault")
    heartbeat_check_s: float = Field(default=5, gt=0, description="How often silence is looked for")
    open_faults_most: int = Field(
        default=8,
        ge=1,
        le=100,
        description="Codes of one machine that are faults of their own; more count as one",
    )
    late_settle_s: float = Field(default=5, ge=0, description="How long a fault that came late is held")
    flap_quiet_s: float = Field(
        default=60, ge=0, description="How long a fault is quiet after it rang; doubles as it comes again"
    )
    flap_quiet_most_s: float = Field(default=3600, ge=0, description="The longest quiet time")
    rings_most: int = Field(default=8, ge=1, description="Rings that a calm machine has to spend")
    ring_every_s: float = Field(default=300, gt=0, description="When a machine has another ring to spend")
    ring_check_s: float = Field(
        default=1, gt=0, description="How often faults that wait to ring are looked for"
    )
    escalate_after_s: float = Field(
        default=600, ge=0, description="A fault that nobody acknowledges is passed on after this; 0: never"
    )
    escalations_most: int = Field(default=5, ge=1, le=100, description="So many times")
    escalation_check_s: float = Field(default=1, gt=0, description="How often such faults are looked for")
    device_rate: float = Field(default=20, gt=0, description="Samples a second that one device may send")
    device_burst: int = Field(default=1000, ge=1, description="Samples that a device may send at once")
    device_dead_letters_h: int = Field(
        default=20, ge=1, description="Dead letters that one device makes in an hour; more are counted only"
    )
    samples_kept_h: float = Field(default=7 * 24, ge=25, description="Older samples are deleted")
    faults_kept_days: float = Field(default=365, ge=1, description="Older cleared faults are deleted")
    prune_every_s: float = Field(default=600, gt=0)
    telemetry_max_bytes: int = Field(default=1024 * 1024, ge=1024)
    telemetry_prefetch: int = Field(default=100, ge=1, le=1000)
    mqtt_vhost: str = VHOST
    mqtt_exchange: str = TELEMETRY_EXCHANGE
    mqtt_auth_secret: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Part of the path that the broker asks; without it only this host may ask",
    )
    mqtt_auth_secret_before: SecretStr | None = Field(
        default=None, min_length=16, description="The one before, taken too while the broker gets the new one"
    )

    @model_validator(mode="after")
    def _check_limits(self) -> "Settings":
        known = self.known_metrics
        unknown = sorted({m for kind in self.limits.values() for m in kind if m not in known})
        if unknown:
            raise ValueError(f"limits for unknown metrics: {', '.join(unknown)}; declare them in metrics")
        return self

    @property
    def known_metrics(self) -> dict[str, Range]:
        """Every metric that is taken, with the values it can have."""
        return {**METRICS, **self.metrics}

    @property
    def policy(self) -> DetectionPolicy:
        """The settings by which faults are detected."""
        return DetectionPolicy(
            limit_for=timedelta(seconds=self.limit_for_s),
            max_codes=self.open_faults_most,
            late_hold=timedelta(seconds=self.late_settle_s),
            longest_late_hold=timedelta(seconds=12 * self.late_settle_s),
            damping=DampingPolicy(
                max_alerts=self.rings_most,
                refill_every=timedelta(seconds=self.ring_every_s),
                quiet=timedelta(seconds=self.flap_quiet_s),
                longest_quiet=timedelta(seconds=max(self.flap_quiet_s, self.flap_quiet_most_s)),
            ),
        )

    @property
    def escalation(self) -> EscalationPolicy:
        """When a fault that nobody acknowledges is passed on."""
        return EscalationPolicy(timedelta(seconds=self.escalate_after_s), self.escalations_most)

    def known_kind(self, kind: str) -> str:
        """Return a kind that has limits here, else ``other``: a device may name any."""
        return kind if kind in LIMITS or kind in self.limits else OTHER

    def limits_of(self, kind: str) -> list[Limit]:
        """Return the limits of a kind of equipment; an unknown kind has those of ``other``."""
        every = {**LIMITS, **self.limits}
        bounds = every[self.known_kind(kind)]
        return [limit for metric, b in bounds.items() for limit in b.limits(metric)]
