"""The settings of sign-in: whom to trust, and where people sign in."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from laundry_service.settings import EMPTY_IS_NONE, TrustSettings
from web.auth.sealing import MIN_KEY

Bearer = Literal["access_token", "id_token"]
BEARER = "What the services get: its access token, or the ID token where that is no JWT (Google, Kakao)"
SCOPES = "openid profile"


class SignInSettings(TrustSettings):
    """Sign-in is offered where ``LAUNDRY_OIDC_ISSUER`` is set; bearer tokens pass without it, too."""

    # Whose tokens are taken: needed only where people sign in.
    jwks_url: str = ""
    jwt_issuer: str = ""

    public_url: Annotated[str | None, EMPTY_IS_NONE] = Field(
        default=None, description="The address of the pages as browsers have it, without a path"
    )
    session_keys: Annotated[SecretStr | None, EMPTY_IS_NONE] = Field(
        default=None,
        description=f"Seals the cookies, {MIN_KEY} characters or more, the same in all replicas; several "
        "with commas while one replaces another: the first seals, all open",
    )
    session_days: float = Field(default=30, gt=0, le=400, description="How long a cookie is kept unused")

    oidc_issuer: Annotated[str | None, EMPTY_IS_NONE] = Field(
        default=None, description="The issuer of helpers, owners and operators"
    )
    oidc_client_id: str | None = None
    oidc_client_secret: Annotated[SecretStr | None, EMPTY_IS_NONE] = None
    oidc_discovery_url: Annotated[str | None, EMPTY_IS_NONE] = Field(
        default=None, description="If not below the issuer: where its configuration is reached from here"
    )
    oidc_scopes: str = Field(
        default=SCOPES, description="Providers with offline_access give a lasting refresh token only with it"
    )
    oidc_parameters: dict[str, str] = Field(
        default={},
        description='JSON that goes along to the sign-in page: {"access_type": "offline"} for Google',
    )
    oidc_bearer: Bearer = Field(default="access_token", description=BEARER)

    customer_oidc_issuer: Annotated[str | None, EMPTY_IS_NONE] = Field(
        default=None, description="A second issuer, for customers"
    )
    customer_oidc_client_id: str | None = None
    customer_oidc_client_secret: Annotated[SecretStr | None, EMPTY_IS_NONE] = None
    customer_oidc_discovery_url: Annotated[str | None, EMPTY_IS_NONE] = None
    customer_oidc_scopes: str = SCOPES
    customer_oidc_parameters: dict[str, str] = Field(default={})
    customer_oidc_bearer: Bearer = Field(default="id_token", description=BEARER)

    @property
    def by_tls(self) -> bool:
        """Whether browsers come over HTTPS."""
        return (self.public_url or "").startswith("https:")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.oidc_issuer is None and self.customer_oidc_issuer is None:
            return self
        needed = ["public_url", "session_keys", "jwks_url", "jwt_issuer"]
        needed += ["oidc_client_id"] if self.oidc_issuer else []
        needed += ["customer_oidc_client_id"] if self.customer_oidc_issuer else []
        missing = [f"LAUNDRY_{name.upper()}" for name in needed if not getattr(self, name)]
        if missing:
            raise ValueError(f"sign-in needs {', '.join(missing)}, too")
        return self
