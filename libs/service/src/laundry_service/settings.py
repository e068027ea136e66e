"""Settings that every service has. Each service adds its own in one class of its ``settings.py``."""

from importlib import metadata

from pydantic import Field, SecretStr

from laundry_service.http_limits import HttpSettings


class ServiceSettings(HttpSettings):
    """Read from ``LAUNDRY_*`` environment variables; nothing secret has a default."""

    service_name: str
    drills: bool = Field(default=False, description="Let messages with the header x-drill fail on purpose")

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
