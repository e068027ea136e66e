"""The Django app of the OpenID provider."""

from django.apps import AppConfig


class OidcConfig(AppConfig):
    """Without models: those are allauth's."""

    name = "identity.oidc"
    label = "identity_oidc"

    def ready(self) -> None:
        """Listen to changes of passwords, and keep the keys."""
        from identity.oidc import sign_outs  # noqa: F401, PLC0415
        from identity.oidc.signing_keys import read_keys_once  # noqa: PLC0415

        read_keys_once()
