"""Settings that every service has. Each service adds its own in one class of its ``settings.py``."""

from datetime import datetime
from importlib import metadata
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from laundry_service.auth.claim_mapping import ClaimMapping
from laundry_service.auth.issuer import TrustedIssuer
from laundry_service.auth.principal import Role
from laundry_service.http.settings import HttpSettings
from laundry_service.limits.rates import Allowance, LimitName
from laundry_service.storage.address import asyncpg_url

EMPTY_IS_NONE = BeforeValidator(lambda value: None if value == "" else value)
"""For a setting that may be left out: Compose passes an unset variable as an empty one."""


class TrustSettings(HttpSettings):
    """Whose tokens are taken."""

    jwks_url: str = Field(description="Where the identity provider publishes its keys (RFC 7517)")
    jwt_issuer: str
    jwt_audience: str = "smart-fitness-laundry"
    jwt_mapping: ClaimMapping | None = Field(
        default=None,
        description='JSON, where a token has no role and branches of ours: {"role": JMESPath, "branches": '
        "JMESPath}; whom it gives no role has no entry",
    )
    jwt_id_tokens: bool = Field(
        default=False,
        description="Take the provider's ID tokens, if its access tokens are no JWTs (Google); the audience "
        "is then the id of our client there",
    )
    jwks_lifespan_s: float = Field(
        default=120, gt=0, le=300, description="A key that the provider withdraws is refused after so long"
    )
    jwks_stale_s: float = Field(
        default=1800, gt=0, le=86400, description="So long known keys count while the provider is away"
    )
    token_max_hours: dict[Role, Annotated[float, Field(gt=0)]] = Field(
        default={}, description="JSON by role, how far off a token's end may be; else 24, a device's 720"
    )
    deny_list_url: str | None = Field(
        default=None, description="Where the identity provider lists who is cut off before a token ends"
    )
    deny_list_every_s: float = Field(default=15, gt=0, le=30)
    trusted_issuers: tuple[TrustedIssuer, ...] = Field(
        default=(),
        description='JSON list of issuers beside the first: [{"issuer", "jwks_url", "audience", '
        '"subject_prefix": "kakao:", "deny_list_url"?, "roles"?, "forced_role": "customer"?, "mapping"?, '
        '"id_tokens"?}]',
    )


class ApiSettings(TrustSettings):
    """Of what answers callers that bring a token. Nothing secret has a default."""

    service_name: str

    streams_per_person: int = Field(
        default=6, ge=1, description="Event streams that one person may have open"
    )
    streams_per_branch: int = Field(default=1000, ge=1, description="The same of all who name one branch")
    streams_at_most: int = Field(default=3000, ge=1, description="The same of this process in all")
    stream_max_s: float = Field(
        default=900.0,
        gt=0,
        description="An event stream ends then; the browser comes back with a fresh token",
    )

    rate_limits: dict[LimitName, Allowance] = Field(
        default={},
        description='JSON replacing defaults: {"uploads": {"person": "120/m", "address": "600/m"}}',
    )


class ServiceSettings(ApiSettings):
    """Of a service at the broker: read from ``LAUNDRY_*`` environment variables."""

    drills: bool = Field(default=False, description="Let messages with the header x-drill fail on purpose")

    letter_key: Annotated[SecretStr | None, EMPTY_IS_NONE] = Field(
        default=None,
        description="Signs the dead letters and retries of this service's own queues, 32 characters or more; "
        "several with commas while one replaces another: the first signs, all are accepted",
    )
    letters_unsigned_until: Annotated[datetime | None, EMPTY_IS_NONE] = Field(
        default=None,
        description="Until then what comes back unsigned is taken too: seven days after an upgrade",
    )

    amqp_url: SecretStr


class DatabaseSettings(ServiceSettings):
    """For a service that owns data."""

    database_url: SecretStr = Field(description="postgresql://user:password@host/database")
    database_pool: int = Field(default=10, ge=1)

    @field_validator("database_url")
    @classmethod
    def _for_the_driver(cls, value: SecretStr) -> SecretStr:
        return SecretStr(asyncpg_url(value.get_secret_value()))


class ObjectStoreSettings(ServiceSettings):
    """For a service that reads or writes photos or models."""

    s3_endpoint_url: str | None = None
    s3_bucket: str
    s3_region: str = "us-east-1"
    s3_access_key: SecretStr
    s3_secret_key: SecretStr


def version_of(package: str) -> str:
    """Return the installed version of a distribution, for logs, traces and dead letters."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "0"
