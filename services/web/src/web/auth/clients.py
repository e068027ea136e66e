"""How this service is known to the providers that the settings name."""

from dataclasses import dataclass

from web.auth.settings import Bearer, SignInSettings


@dataclass(frozen=True, slots=True)
class ProviderClient:
    """How this service is known to a provider."""

    name: str
    issuer: str
    client_id: str
    client_secret: str | None
    discovery_url: str
    scopes: str
    parameters: dict[str, str]
    bearer: Bearer


def clients_of(settings: SignInSettings) -> list[ProviderClient]:
    """Return those that the settings name: ``staff``, ``customers`` or both."""
    found = []
    for name, prefix in (("staff", "oidc"), ("customers", "customer_oidc")):
        issuer = getattr(settings, f"{prefix}_issuer")
        if issuer is None:
            continue
        secret = getattr(settings, f"{prefix}_client_secret")
        discovery = getattr(settings, f"{prefix}_discovery_url")
        found.append(
            ProviderClient(
                name=name,
                issuer=issuer,
                client_id=getattr(settings, f"{prefix}_client_id"),
                client_secret=secret.get_secret_value() if secret else None,
                discovery_url=discovery or f"{issuer.rstrip('/')}/.well-known/openid-configuration",
                scopes=getattr(settings, f"{prefix}_scopes"),
                parameters=getattr(settings, f"{prefix}_parameters"),
                bearer=getattr(settings, f"{prefix}_bearer"),
            )
        )
    return found
