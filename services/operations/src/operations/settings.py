"""Settings of the operations service, on top of those that every service has."""

from dataclasses import replace

from pydantic import Field

from laundry_events.plan import Plan
from laundry_events.topology import PLAN
from laundry_service.settings import DatabaseSettings

PEERS = ("helper", "identity", "mlops", "monitoring", "notification", "search")
"""The services that hold something of people and are asked for an export."""
REPLACEABLE = frozenset({"identity"})
"""The services that an installation may be without: another identity provider than ours."""


class Settings(DatabaseSettings):
    """Read from ``LAUNDRY_*`` environment variables."""

    service_name: str = "operations"

    database_pool: int = Field(
        default=10,
        ge=2,
        description="Whoever holds a queue's dead letters needs a second connection meanwhile",
    )
    management_urls: list[str] = Field(
        min_length=1,
        description="The broker's management API, one address for each node, as a JSON list without logins: "
        "user and password are those of the AMQP address",
    )
    tls_endpoints: list[str] = Field(
        default=[],
        description='JSON list ["host:port"] of further TLS listeners (MQTT, each node, the pages) whose '
        "certificates are watched, besides those of the addresses above",
    )
    certificates_every_s: float = Field(
        default=300.0, gt=0, description="How often it is looked when certificates end"
    )
    scan: int = Field(default=10_000, ge=1, le=100_000, description="Letters looked at in a queue, at most")
    job_step_s: float = Field(
        default=3.0, gt=0, description="How long a job holds a queue before it lets others look"
    )
    history_prefetch: int = Field(
        default=64, ge=1, le=1000, description="Events that are on their way into the history at a time"
    )
    samples_every_s: float = Field(default=10.0, gt=0, description="How often the queues' counts are noted")

    helper_url: str | None = None
    identity_url: str | None = Field(
        default=None, description="Empty where another identity provider has taken the service's place"
    )
    mlops_url: str | None = None
    monitoring_url: str | None = None
    notification_url: str | None = None
    search_url: str | None = None
    erasure_check_s: float = Field(
        default=60.0, gt=0, description="How often it is looked whether an erasure can be completed"
    )
    erasure_ask_again_s: float = Field(
        default=3600.0,
        gt=0,
        description="So long after it was asked a service that has not answered is asked again: its queue "
        "may not have been bound",
    )
    counts_lag_s: float = Field(
        default=10.0,
        ge=0,
        description="So old may be what the broker tells of its queues: unless it is set otherwise, five "
        "seconds for the queue's own count and five for the management's",
    )
    erasure_token_life_s: float = Field(
        default=24 * 3600 + 60,
        gt=0,
        description="So long after a request for erasure a token of the person may still be good: the "
        "longest that the identity provider gives out. Where its tokens live 300 s, 360 are enough",
    )

    def absent(self) -> frozenset[str]:
        """Return the services that this installation is without: those whose address is given as empty."""
        return frozenset(name for name in REPLACEABLE if getattr(self, f"{name}_url") == "")

    def peers(self) -> dict[str, str | None]:
        """Return the address of each service that holds something of people."""
        return {name: getattr(self, f"{name}_url") for name in PEERS if name not in self.absent()}

    def plan(self) -> Plan:
        """Return the plan of the broker without the queues that nobody here takes from."""
        return replace(PLAN, queues=tuple(each for each in PLAN.queues if each.consumer not in self.absent()))
