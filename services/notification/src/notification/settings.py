"""Settings of the notification service, on top of those that every service has."""

from datetime import time
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from laundry_service.settings import EMPTY_IS_NONE, DatabaseSettings
from notification.customer_rules import TellingPolicy
from notification.web_push.endpoints import PushServices
from notification.web_push.vapid import VapidKey, is_subject


def split(text: str) -> list[str]:
    """Return the entries of a list that is written with commas."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]


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

    web_push_private_key: Annotated[SecretStr | None, EMPTY_IS_NONE] = Field(
        default=None, description="The VAPID key of `laundry push-keys`; without it browsers get no pushes"
    )
    web_push_subject: Annotated[str | None, EMPTY_IS_NONE] = Field(
        default=None,
        description="Whom push services write to if our pushes trouble them: mailto:… or https://…; needed "
        "with the key, and a real one, or Apple refuses everything",
    )
    web_push_services: str = Field(
        default="default",
        description="Which push services may be pushed to, with commas: hosts, *.domain, `default` for "
        "Google's, Mozilla's, Apple's and Microsoft's, or an origin such as http://127.0.0.1:8010, which may "
        "be inside",
    )

    fault_prefetch: int = Field(default=128, ge=1, description="Faults that are stored at once")
    fault_pushes_at_once: int = Field(
        default=100, ge=2, description="Pushes of faults in flight; half of them may be retries"
    )
    fault_pushes_per_branch: int = Field(default=10, ge=1, description="Of one branch, at once")
    fault_owners_at_once: int = Field(
        default=1, ge=1, description="Owners of a branch who ring at once; the next while nobody acknowledges"
    )
    fault_graceful_timeout_s: float = Field(default=5.0, gt=0)

    match_prefetch: int = Field(default=2, ge=1, description="PreferenceCreated messages in flight at once")
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
    housekeeping_every_s: float = Field(default=3600.0, gt=0)
    history_days: int = Field(default=90, ge=1)
    device_stale_days: int = Field(default=270, ge=1, description="FCM counts a token as dead by then")
    owner_known_days: int = Field(
        default=90, ge=1, description="How long an owner without a device is told in the history"
    )

    @field_validator("web_push_private_key")
    @classmethod
    def _is_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            VapidKey(value.get_secret_value())
        return value

    @field_validator("web_push_subject")
    @classmethod
    def _is_a_subject(cls, value: str | None) -> str | None:
        if value is not None and not is_subject(value):
            raise ValueError("it is neither mailto:somebody@example.com nor https://example.com")
        return value

    @field_validator("web_push_services")
    @classmethod
    def _are_services(cls, value: str) -> str:
        PushServices(split(value))
        return value

    @model_validator(mode="after")
    def _web_push_is_whole(self) -> Self:
        if self.web_push_private_key is not None and self.web_push_subject is None:
            raise ValueError("LAUNDRY_WEB_PUSH_PRIVATE_KEY needs LAUNDRY_WEB_PUSH_SUBJECT beside it")
        return self

    @property
    def push_services(self) -> PushServices:
        """The push services of browsers that may be pushed to."""
        return PushServices(split(self.web_push_services))

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
