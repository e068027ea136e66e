"""Credentials of equipment: given, replaced, revoked. A secret is shown once and kept as a hash."""

from uuid import UUID

from django.db import IntegrityError

from identity.oidc.device_clients import delete_client, make_device_client, replace_secret
from identity.people import repository
from identity.people.models import EquipmentCredential
from identity.people.rights import Refused
from identity.people.service.acting import acting_operator, cut_off, noted
from laundry_service.auth.principal import Principal


def add_credential(
    principal: Principal, equipment_id: str, branch_id: str
) -> tuple[EquipmentCredential, str]:
    """Give a machine what it signs in with; returns it and its secret.

    Raises:
        Refused: ``role-forbidden``, ``branch-unknown``, ``credential-exists``.
    """
    with acting_operator(principal) as actor:
        if repository.unknown_branches([branch_id]):
            raise Refused("branch-unknown", f"There is no branch {branch_id!r}.")
        client_id, secret = make_device_client(equipment_id, branch_id)
        now = repository.clock()
        credential = EquipmentCredential(
            equipment_id=equipment_id,
            branch_id=branch_id,
            client_id=client_id,
            created_by=actor.sub,
            created_at=now,
        )
        try:
            repository.add_credential(credential)
        except IntegrityError as error:
            raise Refused(
                "credential-exists",
                f"{equipment_id} in {branch_id} has a credential. Replace its secret, or revoke it first.",
            ) from error
        noted(actor, "credential.create", _name(credential), now, client_id=client_id)
    return credential, secret


def rotate_credential(
    principal: Principal, id_: UUID, reason: str | None = None
) -> tuple[EquipmentCredential, str]:
    """Replace a machine's secret; returns the new one. The old one, and tokens got with it, end now.

    Raises:
        Refused: ``role-forbidden``, ``credential-unknown``.
    """
    with acting_operator(principal) as actor:
        credential = _credential(id_)
        secret = replace_secret(credential.client_id)
        now = repository.clock()
        credential.rotated_at = now
        credential.save(update_fields=["rotated_at"])
        cut_off(credential.equipment_id, "device", now)
        noted(actor, "credential.rotate", _name(credential), now, reason)
    return credential, secret


def revoke_credential(principal: Principal, id_: UUID, reason: str | None = None) -> None:
    """End a machine's credential: it gets no more tokens, and those that it has are refused.

    Raises:
        Refused: ``role-forbidden``, ``credential-unknown``.
    """
    with acting_operator(principal) as actor:
        credential = _credential(id_)
        now = repository.clock()
        credential.revoked_at = now
        credential.save(update_fields=["revoked_at"])
        delete_client(credential.client_id)
        cut_off(credential.equipment_id, "device", now)
        noted(actor, "credential.revoke", _name(credential), now, reason)


def _credential(id_: UUID) -> EquipmentCredential:
    credential = repository.credential_for_update(id_)
    if credential is None:
        raise Refused("credential-unknown", "There is no such credential, or it is revoked already.")
    return credential


def _name(credential: EquipmentCredential) -> str:
    return f"{credential.branch_id}/{credential.equipment_id}"
