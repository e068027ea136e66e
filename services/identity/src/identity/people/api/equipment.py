"""``/equipment-credentials``: what machines sign in with."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from identity.people import repository
from identity.people.api.asked import Operator, do
from identity.people.schemas import (
    CredentialIn,
    CredentialOut,
    CredentialPage,
    Cursor,
    EquipmentId,
    Limit,
    NewCredential,
)
from identity.people.service.equipment import add_credential, revoke_credential, rotate_credential
from laundry_events.events import BranchId
from laundry_service.audit.http import Reason
from laundry_service.http.cursors import page_of, position, write_cursor


def equipment_router(token_url: str) -> APIRouter:
    """Make the endpoints; machines get their tokens at ``token_url``."""
    router = APIRouter(prefix="/equipment-credentials", tags=["equipment"])

    @router.get("")
    async def list_credentials(
        _: Operator,
        branch_id: Annotated[BranchId | None, Query(description="Only of machines there")] = None,
        equipment_id: Annotated[
            EquipmentId | None, Query(description="Only of machines of this name")
        ] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> CredentialPage:
        """List the credentials in use, by branch and equipment."""
        after = position(cursor, str, str)
        found = await do(
            repository.credentials,
            branch_id,
            equipment_id,
            after=None if after is None else (after[0], after[1]),
            limit=limit + 1,
        )
        shown, last = page_of(found, limit)
        return CredentialPage(
            items=[CredentialOut.of(each) for each in shown],
            next_cursor=None if last is None else write_cursor(last.branch_id, last.equipment_id),
        )

    @router.post("", status_code=201)
    async def create_credential(asked: CredentialIn, operator: Operator) -> NewCredential:
        """Give a machine a credential. Its secret is in this answer and nowhere else."""
        made, secret = await do(add_credential, operator, asked.equipment_id, asked.branch_id)
        return NewCredential.with_secret(made, secret, token_url)

    @router.post("/{credential_id}/rotation")
    async def replace_secret(operator: Operator, credential_id: UUID, reason: Reason = None) -> NewCredential:
        """Replace the secret. The old one, and tokens got with it, end now."""
        found, secret = await do(rotate_credential, operator, credential_id, reason)
        return NewCredential.with_secret(found, secret, token_url)

    @router.delete("/{credential_id}", status_code=204)
    async def revoke(operator: Operator, credential_id: UUID, reason: Reason = None) -> None:
        """Revoke a credential: the machine is cut off, by HTTP and MQTT, until it is given another."""
        await do(revoke_credential, operator, credential_id, reason)

    return router
