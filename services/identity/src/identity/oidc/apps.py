"""The Django app of the OpenID provider."""

from django.apps import AppConfig


class OidcConfig(AppConfig):
    """Without models: those are allauth's."""

    name = "identity.oidc"
    label = "identity_oidc"

    def ready(self) -> None:
        """Listen to changes of passwords."""
        from identity.oidc import sign_outs  # noqa: F401, PLC0415
