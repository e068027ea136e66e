"""Every query about people. Each function works in its caller's transaction, in a thread."""

import json
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from allauth.account.models import EmailAddress
from allauth.idp.oidc.models import Token
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from identity.people.models import Branch, Denial, EquipmentCredential, Invitation, Person
from identity.people.rights import WORK_ROLES, Right
from laundry_service.audit.acts import COLUMNS, Act, row_of
from laundry_service.audit.heads import HEAD

NAMES_OF_PEOPLE = frozenset({"invited_by"})
ABOUT_PEOPLE = frozenset({"operator.create", "person.remove"})
ACTED = f"INSERT INTO audit ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"  # noqa: S608
AUDIT = """
SELECT number, audit_shown(record) FROM audit
WHERE (%(before)s::bigint IS NULL OR number < %(before)s)
  AND (%(object)s::text IS NULL
       OR object IN (%(object)s, (SELECT pseudonym FROM audit_people WHERE person = %(object)s)))
ORDER BY number DESC LIMIT %(limit)s
"""


def clock() -> datetime:
    """Return the database's time now: one clock for all replicas, and not that of the transaction's start."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (moment,) = cursor.fetchone()
    assert isinstance(moment, datetime)
    return moment


# Branches


def branches(
    only: Collection[str] | None, *, after: str | None, search: str | None, limit: int
) -> list[Branch]:
    """Read branches by their id; ``only`` these if given."""
    found = Branch.objects.order_by("id")
    if only is not None:
        found = found.filter(id__in=only)
    if after is not None:
        found = found.filter(id__gt=after)
    if search:
        found = found.filter(
            Q(id__icontains=search) | Q(name_ko__icontains=search) | Q(name_en__icontains=search)
        )
    return list(found[:limit])


def unknown_branches(wanted: Iterable[str]) -> list[str]:
    """Return those branches that do not exist."""
    asked = set(wanted)
    return sorted(asked - set(Branch.objects.filter(id__in=asked).values_list("id", flat=True)))


def add_branch(branch: Branch) -> None:
    """Store a branch; an IntegrityError says that there is one of that id already."""
    with transaction.atomic():
        branch.save(force_insert=True)


def branch_for_update(branch_id: str) -> Branch | None:
    """Read a branch and keep others from changing it."""
    return Branch.objects.select_for_update().filter(id=branch_id).first()


# People


def person(sub: str | UUID, *, lock: bool = False) -> Person | None:
    """Read a person; with ``lock`` their right stays as it is until the end of the transaction.

    Their sub has one spelling: by another the deny list, the audit and other services would not know them.
    """
    try:
        id_ = UUID(str(sub))
    except ValueError:
        return None
    if str(id_) != str(sub):
        return None
    found = Person.objects.filter(id=id_).order_by()
    return (found.select_for_update(no_key=True) if lock else found).first()


def operators_for_update() -> set[str]:
    """Return the subs of all operators, and let nobody else count or change them meanwhile."""
    found = Person.objects.select_for_update(no_key=True).filter(role="operator", is_active=True)
    return {each.sub for each in found.order_by("id")}


def make_account(*, email: str, name: str, password: str) -> Person:
    """Make an account without a right; an IntegrityError says that the address has one already."""
    with transaction.atomic():
        person = Person.objects.create(email=email, name=name, role=None, password=password)
    EmailAddress.objects.create(user=person, email=email, primary=True, verified=False)
    return person


def end_sign_ins(person: Person) -> None:
    """Withdraw a person's refresh tokens: the next refresh answers ``invalid_grant``, which signs out."""
    Token.objects.filter(user=person).delete()


def give(person: Person, right: Right | None) -> None:
    """Give a person a right in place of the one that they have."""
    person.role = None if right is None else right.role
    person.save(update_fields=["role"])
    # By their ids, which are what the rows hold.
    person.branches.set(Branch.objects.filter(id__in=right.branches if right else ()))


def people(
    branches: Collection[str] | None,
    *,
    role: str | None,
    search: str | None,
    after: tuple[str, UUID] | None,
    limit: int,
) -> list[Person]:
    """Read people who work here, by name; only those of some ``branches`` if given."""
    found = Person.objects.filter(role__in=WORK_ROLES, is_active=True).order_by("name", "id")
    if branches is not None:
        placed = Person.branches.through.objects.filter(person=OuterRef("id"), branch__in=branches)
        found = found.filter(Exists(placed))
    if role is not None:
        found = found.filter(role=role)
    if search:
        found = found.filter(Q(name__icontains=search) | Q(email__icontains=search))
    if after is not None:
        name, id_ = after
        found = found.filter(Q(name__gt=name) | Q(name=name, id__gt=id_))
    return list(found.prefetch_related("branches")[:limit])


def deny(sub: str, *, issued_before: datetime, until: datetime) -> None:
    """Refuse a subject's tokens from before a moment, and forget what is over."""
    Denial.objects.filter(until__lt=issued_before).delete()
    Denial.objects.create(sub=sub, issued_before=issued_before, until=until)


def denials(now: datetime) -> list[Denial]:
    """Read who is denied now."""
    return list(Denial.objects.filter(until__gt=now).order_by("id"))


# Invitations


def _open(now: datetime) -> QuerySet[Invitation]:
    return Invitation.objects.filter(accepted_at=None, withdrawn_at=None, expires_at__gt=now)


def open_invitations(
    branches: Collection[str] | None, *, now: datetime, after: tuple[datetime, UUID] | None, limit: int
) -> list[Invitation]:
    """Read invitations that can still be used, newest first; only helpers' of ``branches`` if given."""
    found = _open(now).order_by("-created_at", "id")
    if branches is not None:
        # Of what is for other branches, too, an owner sees nothing.
        found = found.filter(role="helper", branches__contained_by=list(branches))
    if after is not None:
        moment, id_ = after
        found = found.filter(Q(created_at__lt=moment) | Q(created_at=moment, id__gt=id_))
    return list(found[:limit])


def count_open_invitations(invited_by: str, now: datetime) -> int:
    """Count what somebody invited to that is still open."""
    return _open(now).filter(invited_by=invited_by).count()


def invitation_for_update(id_: UUID) -> Invitation | None:
    """Read an invitation and keep others from using it."""
    return Invitation.objects.select_for_update().filter(id=id_).first()


def invitation_by_hash(token_hash: str, *, lock: bool = False) -> Invitation | None:
    """Read the invitation of a link; with ``lock`` nobody else can use it meanwhile."""
    found = Invitation.objects.filter(token_hash=token_hash)
    return (found.select_for_update() if lock else found).first()


def withdraw_invitations_of(sub: str, left: Collection[str], now: datetime) -> int:
    """Withdraw what somebody invited to beyond the branches that are left to them; returns how many."""
    beyond = _open(now).filter(invited_by=sub).exclude(role="helper", branches__contained_by=list(left))
    return beyond.update(withdrawn_at=now)


# Forgetting people


def held_of(sub: str) -> list[tuple[str, dict[str, Any]]]:
    """Read what is held of a person: the account without its password, and the invitations they made."""
    found = person(sub)
    rows: list[tuple[str, dict[str, Any]]] = []
    if found is not None:
        account = {
            "email": found.email,
            "name": found.name,
            "role": found.role,
            "branches": [branch.id for branch in found.branches.all()],
            "created_at": found.created_at.isoformat(),
            "last_login": None if found.last_login is None else found.last_login.isoformat(),
        }
        rows.append(("account", account))
    for each in Invitation.objects.filter(invited_by=sub).order_by("created_at"):
        made = {"role": each.role, "branches": each.branches, "created_at": each.created_at.isoformat()}
        rows.append(("invitations", made))
    return rows


def forget(found: Person | None, sub: str, tombstone: str, now: datetime) -> dict[str, int]:
    """Delete an account with its sign-ins; where somebody acted, a tombstone stands for them."""
    rows = {"accounts": 0, "sessions": 0}
    if found is not None:
        for session in Session.objects.filter(expire_date__gt=now).iterator():
            if session.get_decoded().get(SESSION_KEY) == sub:
                session.delete()
                rows["sessions"] += 1
        found.delete()
        rows["accounts"] = 1
    # The note says for whom an invitation was.
    rows["accepted"] = Invitation.objects.filter(accepted_by=sub).update(accepted_by=tombstone, note="")
    rows["invitations"] = Invitation.objects.filter(invited_by=sub).update(invited_by=tombstone)
    rows["credentials"] = EquipmentCredential.objects.filter(created_by=sub).update(created_by=tombstone)
    rows["denials"], _ = Denial.objects.filter(sub=sub, until__lt=now).delete()
    return rows


# Equipment


def credentials(
    branch_id: str | None, equipment_id: str | None, *, after: tuple[str, str] | None, limit: int
) -> list[EquipmentCredential]:
    """Read the credentials in use, by branch and equipment."""
    found = EquipmentCredential.objects.filter(revoked_at=None).order_by("branch_id", "equipment_id")
    if branch_id is not None:
        found = found.filter(branch_id=branch_id)
    if equipment_id is not None:
        found = found.filter(equipment_id=equipment_id)
    if after is not None:
        branch, equipment = after
        found = found.filter(Q(branch_id__gt=branch) | Q(branch_id=branch, equipment_id__gt=equipment))
    return list(found[:limit])


def add_credential(credential: EquipmentCredential) -> None:
    """Store a credential; an IntegrityError says that the machine has one already."""
    with transaction.atomic():
        credential.save(force_insert=True)


def credential_for_update(id_: UUID) -> EquipmentCredential | None:
    """Read a credential in use and keep others from changing it."""
    return EquipmentCredential.objects.select_for_update().filter(id=id_, revoked_at=None).first()


def credential_of_client(client_id: str) -> EquipmentCredential | None:
    """Read the credential in use of an OpenID client; it stays so until the end of the transaction."""
    found = EquipmentCredential.objects.select_for_update(no_key=True)
    return found.filter(client_id=client_id, revoked_at=None).first()


# The audit


def write_audit(act: Act, now: datetime) -> None:
    """Add a record; call it last in a transaction, as nobody else can add one until the commit."""
    with connection.cursor() as cursor:

        def known_as(person: str) -> str:
            cursor.execute("SELECT audit_person(%s)", [person])
            (pseudonym,) = cursor.fetchone()
            return str(pseudonym)

        # What people are called there, whose meaning is destroyed with them.
        whom = known_as(act.object) if act.action in ABOUT_PEOPLE else act.object
        details = {
            name: known_as(value) if name in NAMES_OF_PEOPLE else value for name, value in act.details.items()
        }
        row = row_of(replace(act, object=whom, details=details), now)
        cursor.execute(ACTED, [row[name] for name in COLUMNS])


def audit(*, before: int | None, object: str | None, limit: int) -> list[tuple[int, dict[str, Any]]]:  # noqa: A002
    """Read records, newest first."""
    with connection.cursor() as cursor:
        cursor.execute(AUDIT, {"before": before, "object": object, "limit": limit})
        return [(number, json.loads(record)) for number, record in cursor.fetchall()]


def audit_head() -> tuple[int, str] | None:
    """Read the newest row's number and hash."""
    with connection.cursor() as cursor:
        cursor.execute(HEAD)
        row: tuple[int, str] | None = cursor.fetchone()
    return row
