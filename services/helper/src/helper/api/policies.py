"""``/photo-policies/{branch_id}``: how long a branch keeps its photos, and what it agrees to."""

from typing import Annotated

from fastapi import APIRouter, Path

from helper.api.permissions import OwnerOrOperator, Viewer
from helper.schemas import BRANCH, PhotoPolicyBody, PhotoPolicyRequest
from helper.service.policies import PhotoPolicies
from laundry_service.auth.callers import require_branch

Branch = Annotated[str, Path(pattern=f"^{BRANCH.pattern}$")]


def policies_router(policies: PhotoPolicies) -> APIRouter:
    """Make the endpoints of a branch's photo policy."""
    api = APIRouter(tags=["photo policies"])

    async def shown(branch_id: str) -> PhotoPolicyBody:
        policy = await policies.of(branch_id)
        return PhotoPolicyBody(
            branch_id=branch_id,
            keep_days=policy.keep_days,
            keep_features=policy.keep_features,
            unconfirmed_days=policies.unconfirmed_days,
            changed_by=policy.changed_by,
            changed_at=policy.changed_at,
        )

    @api.get("/photo-policies/{branch_id}", summary="How long a branch keeps its photos")
    async def show(principal: Viewer, branch_id: Branch) -> PhotoPolicyBody:
        require_branch(principal, branch_id)
        return await shown(branch_id)

    @api.put("/photo-policies/{branch_id}", summary="Say how long a branch keeps its photos")
    async def change(
        principal: OwnerOrOperator, branch_id: Branch, body: PhotoPolicyRequest
    ) -> PhotoPolicyBody:
        """It holds for stored photos, too. Without `keep_features` what was learnt goes as well."""
        require_branch(principal, branch_id)
        await policies.change(
            branch_id, keep_days=body.keep_days, keep_features=body.keep_features, by=principal.sub
        )
        return await shown(branch_id)

    return api
