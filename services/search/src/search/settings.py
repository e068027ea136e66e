"""Settings of the search service, on top of those that every service has."""

from pydantic import Field

from laundry_service.settings import DatabaseSettings


class Settings(DatabaseSettings):
    """Read from ``LAUNDRY_*`` environment variables."""

    service_name: str = "search"

    match_threshold: float = Field(
        default=0.4, gt=0, le=1, description="The score from which a branch suits a customer"
    )
    match_timeout_s: float = Field(default=60.0, gt=0, description="How long matching a preference may take")
    matches_kept_days: int = Field(default=30, ge=1, description="Who was matched, by which score")
    housekeeping_every_s: float = Field(default=3600.0, gt=0)
