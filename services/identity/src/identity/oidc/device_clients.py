"""Clients of the OpenID provider that are machines: they ask for tokens with ``client_credentials``."""

import secrets

from allauth.idp.oidc.models import Client

from identity.oidc.clients import hash_of_secret

SECRET_BYTES = 32


def make_device_client(equipment_id: str, branch_id: str) -> tuple[str, str]:
    """Make the client of a machine; returns its id and its secret, of which only a hash is kept."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    client = Client.objects.create(
        id=f"equipment-{secrets.token_hex(16)}",
        name=f"{branch_id}/{equipment_id}"[:100],
        secret=hash_of_secret(secret),
        type=Client.Type.CONFIDENTIAL,
        grant_types=Client.GrantType.CLIENT_CREDENTIALS,
        response_types="",
        scopes="",
        skip_consent=True,
    )
    return client.id, secret


def replace_secret(client_id: str) -> str:
    """Give a client another secret; returns it."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    Client.objects.filter(id=client_id).update(secret=hash_of_secret(secret))
    return secret


def has_secret(client_id: str, secret_hash: str) -> bool:
    """Whether a client still has the secret of this hash."""
    return Client.objects.filter(id=client_id, secret=secret_hash).exists()


def delete_client(client_id: str) -> None:
    """Delete a machine's client with its tokens."""
    Client.objects.filter(id=client_id).delete()
