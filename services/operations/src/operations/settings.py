"""Settings of the operations service, on top of those that every service has."""

from pydantic import Field

from laundry_service.settings import DatabaseSettings


class Settings(DatabaseSettings):
    """Read from ``LAUNDRY_*`` environment variables."""

    service_name: str = "operations"

    management_urls: list[str] = Field(
        min_length=1,
        description="The broker's management API, one address for each node, as a JSON list without logins: "
        "user and password are those of the AMQP address",
    )
    scan: int = Field(default=10_000, ge=1, le=100_000, description="Letters looked at in a queue, at most")
    job_step_s: float = Field(
        default=3.0, gt=0, description="How long a job holds a queue before it lets others look"
    )
    samples_every_s: float = Field(default=10.0, gt=0, description="How often the queues' counts are noted")
