"""Invitations: made, withdrawn, and accepted once."""

import hashlib
import secrets
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction

from identity.people import repository
from identity.people.models import Invitation, Person
from identity.people.rights import Actor, Refused, Right, accepted, check_invitation
from identity.people.service.acting import acting, noted
from laundry_service.auth.principal import Principal

TOKEN_BYTES = 32
MAX_OPEN = 200


class EmailTaken(Exception):
    """There is an account of that address already."""


def hash_of(token: str) -> str:
    """Return what is kept of a link's token; it is random, so that one round is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def invite(
    principal: Principal, invited: Right, *, note: str = "", valid: timedelta
) -> tuple[Invitation, str]:
    """Make an invitation; returns it with its token, which is nowhere else.

    Raises:
        Refused: as ``rights.check_invitation``, ``branch-unknown``, or ``too-many-invitations``.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    with transaction.atomic():
        actor = acting(principal, lock=True)
        check_invitation(actor, invited)
        if unknown := repository.unknown_branches(invited.branches):
            raise Refused("branch-unknown", f"There is no branch {unknown[0]!r}.")
        now = repository.clock()
        if repository.count_open_invitations(actor.sub, now) >= MAX_OPEN:
            raise Refused(
                "too-many-invitations", f"{MAX_OPEN} invitations of yours are open. Withdraw some first."
            )
        invitation = Invitation(
            token_hash=hash_of(token),
            role=invited.role,
            branches=sorted(invited.branches),
            note=note,
            invited_by=actor.sub,
            created_at=now,
            expires_at=now + valid,
        )
        invitation.save(force_insert=True)
        noted(
            actor,
            "invitation.create",
            str(invitation.id),
            now,
            for_role=invited.role,
            branches=sorted(invited.branches),
        )
    return invitation, token


def withdraw(principal: Principal, id_: UUID, reason: str | None = None) -> None:
    """Withdraw an open invitation.

    Raises:
        Refused: ``invitation-unknown``, also for one that is not the caller's to see.
    """
    with transaction.atomic():
        actor = acting(principal, lock=True)
        invitation = repository.invitation_for_update(id_)
        now = repository.clock()
        if invitation is None or not _may_end(actor, invitation) or why_unusable(invitation, now):
            raise Refused("invitation-unknown", "There is no such open invitation.")
        invitation.withdrawn_at = now
        invitation.save(update_fields=["withdrawn_at"])
        noted(actor, "invitation.withdraw", str(id_), now, reason)


def _may_end(actor: Actor, invitation: Invitation) -> bool:
    try:
        check_invitation(actor, invitation.right)
    except Refused:
        return False
    return True


def why_unusable(invitation: Invitation | None, now: datetime) -> str | None:
    """Return why an invitation cannot be used (``unknown``, ``used``, ``withdrawn``, ``expired``) or None."""
    if invitation is None:
        return "unknown"
    if invitation.accepted_at is not None:
        return "used"
    if invitation.withdrawn_at is not None:
        return "withdrawn"
    return "expired" if invitation.expires_at <= now else None


def look(token: str) -> tuple[Invitation | None, str | None]:
    """Read the invitation of a link, and why it cannot be used."""
    invitation = repository.invitation_by_hash(hash_of(token))
    return invitation, why_unusable(invitation, repository.clock())


def accept_anew(token: str, *, name: str, email: str, password: str) -> Person:
    """Make the account that an invitation is for. Of two who come at once one gets it.

    Args:
        name, email: clean, as ``names`` makes them.
        password: good, as Django's validators say.

    Raises:
        Refused: ``invitation-…`` with why it cannot be used.
        EmailTaken: there is an account of that address.
    """
    with transaction.atomic():
        invitation = _usable(token)
        right = accepted(None, None, invitation.right, invited_by=invitation.invited_by)
        try:
            person = repository.make_account(email=email, name=name, password=password)
        except IntegrityError as error:
            raise EmailTaken(email) from error
        repository.give(person, right)
        _use(invitation, person.sub, right)
    return person


def accept_as(token: str, person_id: UUID) -> Right:
    """Add what an invitation gives to an account that is signed in; returns its right from now on.

    Raises:
        Refused: as ``rights.accepted``, or ``invitation-…`` with why it cannot be used.
    """
    with transaction.atomic():
        invitation = _usable(token)
        person = repository.person(person_id, lock=True)
        if person is None:
            raise Refused("person-unknown", "This account is closed.")
        right = accepted(person.sub, person.right, invitation.right, invited_by=invitation.invited_by)
        repository.give(person, right)
        _use(invitation, person.sub, right)
    return right


def _usable(token: str) -> Invitation:
    invitation = repository.invitation_by_hash(hash_of(token), lock=True)
    why = why_unusable(invitation, repository.clock())
    if why is not None or invitation is None:
        raise Refused(f"invitation-{why}", "This invitation cannot be used any more.")
    return invitation


def _use(invitation: Invitation, sub: str, right: Right) -> None:
    now = repository.clock()
    invitation.accepted_at, invitation.accepted_by = now, sub
    invitation.save(update_fields=["accepted_at", "accepted_by"])
    noted(
        Actor(sub, right),
        "invitation.accept",
        str(invitation.id),
        now,
        invited_by=invitation.invited_by,
        branches=sorted(right.branches),
    )
