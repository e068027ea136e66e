"""Settings of the notification service, on top of those that every service has."""

from datetime import time
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from laundry_service.settings import DatabaseSettings
from notification.customer_rules import TellingPolicy


class Settings(DatabaseSettings):
    """Read from ``LAUNDRY_*`` environment variables."""

    service_name: str = "notification"

    fcm_url: str | None = Field(
        default=None, description="A server that speaks FCM HTTP v1 in place of Google's, e.g. the local one"
    )
    fcm_credentials_file: Path | None = Field(
        default=None, description="The service account's key file (JSON); needed without fcm_url"
    )
    fcm_project_id: str | None = Field(default=None, description="Else the service account's own project")
    fcm_attempt_timeout_s: float = Field(default=3.0, gt=0, description="How long one push request may take")

    fault_prefetch: int = Field(default=128, ge=1, description="Faults that are stored at once")
    fault_pushes_at_once: int = Field(
        default=100, ge=2, description="Pushes of faults in hand; half of them may be retries"
    )
    fault_pushes_per_branch: int = Field(default=10, ge=1, description="Of one branch, at once")
    fault_owners_at_once: int = Field(
        default=1, ge=1, description="Owners of a branch who ring at once; the next while nobody acknowledges"
    )
    fault_graceful_timeout_s: float = Field(default=5.0, gt=0)

    match_prefetch: int = Field(default=2, ge=1, description="PreferenceCreated messages in hand at once")
    match_pushes_per_second: float = Field(default=25.0, gt=0, description="Per replica")
    match_pushes_per_week: int = Field(
        default=2, ge=0, description="Recommendations a customer is told in any seven days, if he agreed"
    )
    match_pushes_per_day: int = Field(default=3, ge=0, description="And in any 24 hours")
    match_quiet_from: time = Field(default=time(21), description="At night, by the customer's clock, none")
    match_quiet_until: time = Field(default=time(8), description="Equal to the beginning: there is no night")
    match_push_attempts: int = Field(default=14, ge=1, description="They take about an hour")

    lock_timeout_s: float = Field(
        default=2.0, gt=0, description="How long a statement waits for a locked row"
    )
    max_devices_per_user: int = Field(default=10, ge=1, description="The least recently registered one goes")
    time_zone: str = Field(default="Asia/Seoul", description="For the times in texts and the customers' day")
    history_days: int = Field(default=90, ge=1)
    device_stale_days: int = Field(default=270, ge=1, description="FCM counts a token as dead by then")
    owner_known_days: int = Field(
        default=90, ge=1, description="How long an owner without a device is told in the history"
    )

    @model_validator(mode="after")
    def _has_a_way_to_push(self) -> Self:
        if self.fcm_url is None and self.fcm_credentials_file is None:
            raise ValueError("set LAUNDRY_FCM_CREDENTIALS_FILE (or LAUNDRY_FCM_URL for a local server)")
        return self

    @property
    def telling(self) -> TellingPolicy:
        """The limits on what a customer is told."""
        return TellingPolicy(
            per_week=self.match_pushes_per_week,
            per_day=self.match_pushes_per_day,
            night_from=self.match_quiet_from,
            night_until=self.match_quiet_until,
        )
