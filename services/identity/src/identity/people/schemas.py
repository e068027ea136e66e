"""The bodies of HTTP requests and answers."""

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from identity.people.models import Branch, EquipmentCredential, Invitation, Person
from identity.people.names import MAX_NAME, clean_name
from identity.people.qr import qr_svg
from identity.people.rights import MAX_BRANCHES, PersonRole, Right, WorkRole
from laundry_events.events import BranchId
from laundry_service.http.cursors import MAX_CHARS
from laundry_service.http.validation import RequestBody

LONGEST_HOURS = 14 * 24

Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=MAX_CHARS, description="next_cursor of the page before")]
Search = Annotated[
    str | None, Query(min_length=1, max_length=80, pattern=r"^[^\x00]*$", description="A part of the name")
]
BranchPath = Annotated[BranchId, Path(description="The branch's id")]
# As monitoring takes it: one level of an MQTT topic.
EquipmentId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_:-]{0,63}$", examples=["washer-7"])]
Sub = Annotated[str, Path(min_length=1, max_length=255, description="The person's sub")]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(clean_name)]


class BranchIn(RequestBody):
    """A branch to make. Its id is in tokens and paths and never changes."""

    model_config = ConfigDict(extra="forbid")

    id: BranchId
    name_ko: Name
    name_en: Name


class BranchNames(RequestBody):
    """Other names of a branch; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    name_ko: Name | None = None
    name_en: Name | None = None


class BranchOut(BaseModel):
    """A branch of the chain, with its names."""

    id: str
    name_ko: str
    name_en: str

    @classmethod
    def of(cls, branch: Branch) -> Self:
        """Make the body of a branch."""
        return cls(id=branch.id, name_ko=branch.name_ko, name_en=branch.name_en)


class BranchPage(BaseModel):
    """A page of branches, in the order of their ids."""

    items: list[BranchOut]
    next_cursor: str | None


class PersonOut(BaseModel):
    """A person who works here; an owner sees only branches of their own."""

    sub: str
    name: str
    email: str
    role: PersonRole
    branches: list[str]
    joined_at: datetime

    @classmethod
    def of(cls, person: Person, seen: Collection[str] | None) -> Self:
        """Show a person to somebody who sees only some branches, or None for all."""
        right = person.right
        assert right is not None
        branches = sorted(right.branches if seen is None else right.branches & set(seen))
        return cls(
            sub=person.sub,
            name=person.name,
            email=person.email,
            role=right.role,
            branches=branches,
            joined_at=person.created_at,
        )


class PeoplePage(BaseModel):
    """A page of people, in the order of their names."""

    items: list[PersonOut]
    next_cursor: str | None


class InvitationIn(RequestBody):
    """Whom to invite: an owner a helper for branches of their own, an operator anybody."""

    model_config = ConfigDict(extra="forbid")

    role: WorkRole
    branches: Annotated[list[BranchId], Field(max_length=MAX_BRANCHES)] = []
    note: Annotated[str, Field(max_length=MAX_NAME, description="For whom it is, to tell links apart")] = ""
    valid_hours: Annotated[int, Field(ge=1, le=LONGEST_HOURS)] = 72

    @property
    def right(self) -> Right:
        """The right that the invitation gives."""
        return Right(self.role, frozenset(self.branches))


class InvitationOut(BaseModel):
    """An invitation that nobody has accepted yet."""

    id: UUID
    role: PersonRole
    branches: list[str]
    note: str
    invited_by: str
    created_at: datetime
    expires_at: datetime

    @classmethod
    def of(cls, invitation: Invitation) -> Self:
        """Show an invitation, without its token, which is not kept."""
        return cls(
            id=invitation.id,
            role=invitation.right.role,
            branches=invitation.branches,
            note=invitation.note,
            invited_by=invitation.invited_by,
            created_at=invitation.created_at,
            expires_at=invitation.expires_at,
        )


class NewInvitation(InvitationOut):
    """An invitation that was just made: only this answer has its link."""

    link: str
    qr_svg: str = Field(description="The link as a QR code, a whole SVG document")

    @classmethod
    def with_link(cls, invitation: Invitation, link: str) -> Self:
        """Show an invitation with its link."""
        return cls(**dict(InvitationOut.of(invitation)), link=link, qr_svg=qr_svg(link))


class InvitationPage(BaseModel):
    """Open invitations, newest first."""

    items: list[InvitationOut]
    next_cursor: str | None


class CredentialIn(RequestBody):
    """The machine that gets a credential."""

    model_config = ConfigDict(extra="forbid")

    equipment_id: EquipmentId
    branch_id: BranchId


class CredentialOut(BaseModel):
    """A machine's credential in use."""

    id: UUID
    equipment_id: str
    branch_id: str
    client_id: str
    created_by: str
    created_at: datetime
    rotated_at: datetime | None

    @classmethod
    def of(cls, credential: EquipmentCredential) -> Self:
        """Show a credential, without its secret, of which only a hash is kept."""
        return cls(
            id=credential.id,
            equipment_id=credential.equipment_id,
            branch_id=credential.branch_id,
            client_id=credential.client_id,
            created_by=credential.created_by,
            created_at=credential.created_at,
            rotated_at=credential.rotated_at,
        )


class NewCredential(CredentialOut):
    """A credential whose secret is new: only this answer has it."""

    client_secret: str
    token_url: str = Field(description="Where it is exchanged for tokens: OAuth client_credentials")

    @classmethod
    def with_secret(cls, credential: EquipmentCredential, secret: str, token_url: str) -> Self:
        """Show a credential with its secret."""
        return cls(**dict(CredentialOut.of(credential)), client_secret=secret, token_url=token_url)


class CredentialPage(BaseModel):
    """Credentials in use, by branch and equipment."""

    items: list[CredentialOut]
    next_cursor: str | None
