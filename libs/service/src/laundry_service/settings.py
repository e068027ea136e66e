"""Settings that every service has. Each service adds its own in one class of its ``settings.py``."""

from importlib import metadata

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Read from ``LAUNDRY_*`` environment variables; nothing secret has a default."""

    # An error of the settings is logged, and the value that is wrong may be a secret.
    model_config = SettingsConfigDict(
        env_prefix="LAUNDRY_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    service_name: str
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    log_level: str = "INFO"
    graceful_timeout_s: float = Field(default=15.0, gt=0)
    drills: bool = Field(default=False, description="Let messages with the header x-drill fail on purpose")

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

    amqp_url: SecretStr
    jwks_url: str = Field(description="Where the identity provider publishes its keys (RFC 7517)")
    jwt_issuer: str
    jwt_audience: str = "smart-fitness-laundry"


class DatabaseSettings(ServiceSettings):
    """For a service that owns data."""

    database_url: SecretStr = Field(description="postgresql+asyncpg://user:password@host/database")
    database_pool: int = Field(default=10, ge=1)


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
