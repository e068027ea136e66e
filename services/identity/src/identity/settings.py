"""Settings of the identity service, on top of those that every service has."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AnyHttpUrl, BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from laundry_service.auth.rsa_keys import pems
from laundry_service.settings import EMPTY_IS_NONE, ServiceSettings

MIN_SECRET = 32


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Addresses = Annotated[tuple[AnyHttpUrl, ...], NoDecode, BeforeValidator(_split)]


class Settings(ServiceSettings):
    """Read from ``LAUNDRY_*`` environment variables."""

    service_name: str = "identity"

    database_url: SecretStr = Field(description="postgresql+asyncpg://user:password@host/database")
    database_pool: int = Field(default=8, ge=1)

    public_url: AnyHttpUrl = Field(description="Where browsers reach this service; the issuer of its tokens")
    web_urls: Addresses = Field(
        min_length=1,
        description="Where browsers reach the pages, the usual address first, separated by commas: sign-in "
        "returns to these only",
    )
    oidc_client_id: str = "laundry-web"
    oidc_client_secret: SecretStr = Field(description="With which the web service asks for tokens")
    secret_keys: SecretStr = Field(
        description="Sign cookies and links of this service, 32 characters or more each; several with commas "
        "while one replaces the other, the first signs"
    )
    signing_keys: SecretStr = Field(
        description="RSA keys that sign tokens (PKCS #8, base64 on one line), with commas: the first signs, "
        "all are published; leave an old one out to withdraw it"
    )

    first_operator: str = Field(
        default="", description="E-mail of an operator who is made as long as there is none at all"
    )
    first_operator_password: Annotated[SecretStr | None, EMPTY_IS_NONE] = Field(
        default=None, description="Theirs, to be changed"
    )

    access_token_s: int = Field(
        default=300, ge=30, le=900, description="A right that was taken away is gone after so long"
    )
    device_token_s: int = Field(
        default=3600,
        ge=30,
        le=86400,
        description="The same of equipment, which the deny list cuts off sooner",
    )
    refresh_token_days: int = Field(default=30, ge=1, le=400)

    smtp_url: Annotated[SecretStr | None, EMPTY_IS_NONE] = Field(
        default=None, description="smtp://, smtp+tls:// (STARTTLS) or smtps://user:password@host:port"
    )
    mail_from: str = Field(default="laundry@localhost", description="Sender of the mails")
    mail_folder: Annotated[Path | None, EMPTY_IS_NONE] = Field(
        default=None, description="Write mails there instead of sending them: for the local stack"
    )

    @field_validator("smtp_url")
    @classmethod
    def _by_smtp(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(
            ("smtp://", "smtp+tls://", "smtps://")
        ):
            raise ValueError("it begins with smtp://, smtp+tls:// or smtps://")
        return value

    @field_validator("secret_keys")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        keys = _split(value.get_secret_value())
        if not keys or any(len(key) < MIN_SECRET for key in keys):
            raise ValueError(f"each key has {MIN_SECRET} characters or more")
        return value

    @field_validator("signing_keys")
    @classmethod
    def _usable(cls, value: SecretStr) -> SecretStr:
        pems(value.get_secret_value())
        return value

    @property
    def keys(self) -> list[str]:
        """The secret keys, the one that signs first: the same ones however they were written down."""
        found: list[str] = _split(self.secret_keys.get_secret_value())
        return found

    @property
    def sends_mail(self) -> bool:
        """Whether a forgotten password can be reset by mail."""
        return self.smtp_url is not None or self.mail_folder is not None

    @property
    def by_tls(self) -> bool:
        """Whether browsers come over HTTPS."""
        return self.public_url.scheme == "https"

    @property
    def issuer(self) -> str:
        """The ``iss`` of the tokens: the public address without a trailing slash."""
        return str(self.public_url).rstrip("/")

    @property
    def pages(self) -> tuple[str, ...]:
        """Addresses of the pages without a trailing slash, the usual one first."""
        return tuple(str(url).rstrip("/") for url in self.web_urls)
