"""The clients that the settings name."""

import secrets

from allauth.idp.oidc.models import Client
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from identity.settings import Settings

CALLBACK_PATH = "/auth/callback"


def hash_of_secret(secret: str) -> str:
    """Hash a random secret: one round, as nobody can guess 256 bits, and each refresh checks it."""
    return PBKDF2PasswordHasher().encode(secret, secrets.token_hex(16), iterations=1)


def ensure_web_client(settings: Settings) -> None:
    """Make the web service's client what the settings say: at each start, so that a new secret counts."""
    client, _ = Client.objects.get_or_create(
        id=settings.oidc_client_id, defaults={"name": "Smart Fitness Laundry", "secret": ""}
    )
    secret = settings.oidc_client_secret.get_secret_value()
    if not client.secret or not client.check_secret(secret):
        client.secret = hash_of_secret(secret)
    client.type = Client.Type.CONFIDENTIAL
    client.skip_consent = True
    client.set_scopes(["openid", "profile", "email", "offline_access"])
    client.set_default_scopes(["openid"])
    client.set_grant_types([Client.GrantType.AUTHORIZATION_CODE, Client.GrantType.REFRESH_TOKEN])
    client.set_response_types([Client.ResponseType.CODE])
    client.set_redirect_uris([url + CALLBACK_PATH for url in settings.pages])
    client.set_post_logout_redirect_uris([f"{url}/" for url in settings.pages])
    client.save()
