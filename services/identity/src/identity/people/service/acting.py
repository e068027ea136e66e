"""Who acts, by the right that they have now, and the audit of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from identity.people import repository
from identity.people.rights import PERSON_ROLES, Actor, Refused, Right, check_operator
from identity.people.service.tokens import token_life_s
from laundry_service.audit import acts
from laundry_service.auth.claims import EARLY_LEEWAY_S
from laundry_service.auth.principal import Principal, Role


def acting(principal: Principal, *, lock: bool = False) -> Actor:
    """Return who asks. A token may be older than the loss of its bearer's right, so the database decides.

    Args:
        lock: their right stays as it is until the end of the transaction, which changes something.

    Raises:
        Refused: ``role-forbidden``: they have no right any more.
    """
    person = repository.person(principal.sub, lock=lock)
    if person is not None:
        right = person.right
    elif principal.issuer == settings.IDENTITY.issuer or principal.role not in PERSON_ROLES:
        right = None
    else:
        # Of another provider: what its token says is all there is to know.
        right = Right(principal.role, principal.branches)
    if right is None or right.role == "customer":
        raise Refused("role-forbidden", "This is for people who work here, and as long as they do.")
    return Actor(principal.sub, right)


@contextmanager
def acting_operator(principal: Principal) -> Iterator[Actor]:
    """Open a transaction for what only operators may do; their right stays as it is until its end.

    Raises:
        Refused: ``role-forbidden``.
    """
    with transaction.atomic():
        actor = acting(principal, lock=True)
        check_operator(actor)
        yield actor


def noted(
    actor: Actor, action: str, what: str, now: datetime, reason: str | None = None, **details: Any
) -> None:
    """Add to the audit, last in the transaction."""
    by = acts.Actor(actor.sub, actor.right.role)
    repository.write_audit(acts.Act(action, what, by, reason, details=details), now)


def cut_off(sub: str, role: Role, now: datetime) -> None:
    """Refuse the tokens that a subject has: at once for what is open, and until the last of them is over."""
    life = timedelta(seconds=token_life_s(role) + EARLY_LEEWAY_S)
    repository.deny(sub, issued_before=now, until=now + life)
