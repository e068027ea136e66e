"""What a token says of its bearer, read so that nothing is taken away in between."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction

from identity.oidc.device_clients import has_secret
from identity.people import repository
from laundry_service.auth.principal import Role


def token_life_s(role: Role) -> int:
    """Return how long a token lives; a machine's is longer, as its end breaks off an MQTT connection."""
    given = settings.IDENTITY
    life_s: int = given.device_token_s if role == "device" else given.access_token_s
    return life_s


@dataclass(frozen=True)
class TokenRight:
    """What a token says of its bearer.

    Attributes:
        read_at: when the right was read: the token's ``iat``. What is taken away later is taken away of it.
    """

    sub: str
    role: Role
    branches: frozenset[str]
    read_at: datetime


def right_of_person(id_: UUID) -> TokenRight | None:
    """Return what a token of a person says now; None for who has no right.

    The row is locked for the reading, so that a right is taken away either before (the token has less) or
    after (the deny list has a later moment than the token).
    """
    with transaction.atomic():
        person = repository.person(id_, lock=True)
        if person is None or (right := person.right) is None:
            return None
        return TokenRight(person.sub, right.role, right.branches, repository.clock())


def right_of_client(client_id: str, secret_hash: str) -> TokenRight | None:
    """Return what a machine's token says now; None for a credential that is revoked, or whose secret changed.

    Args:
        secret_hash: of the secret that it signed in with, which may be another by the time of the lock.
    """
    with transaction.atomic():
        credential = repository.credential_of_client(client_id)
        if credential is None or not has_secret(client_id, secret_hash):
            return None
        branches = frozenset({credential.branch_id})
        return TokenRight(credential.equipment_id, "device", branches, repository.clock())
