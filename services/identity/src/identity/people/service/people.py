"""People's rights taken away, at once."""

from django.db import transaction

from identity.people import repository
from identity.people.rights import Refused, Right, check_operator_left, taken
from identity.people.service.acting import acting, cut_off, noted
from laundry_service.auth.principal import Principal


def take_away(
    principal: Principal, sub: str, branches: frozenset[str] | None, reason: str | None = None
) -> Right | None:
    """Take a person's right away, in some branches or wherever the caller can; returns what is left of it.

    Their sessions end, their tokens are refused, and invitations of theirs beyond what is left are withdrawn.

    Raises:
        Refused: as ``rights.taken``, or ``last-operator``.
    """
    with transaction.atomic():
        # Always in this order, so that two operators who end each other's right do not wait for each other.
        operators = repository.operators_for_update()
        actor = acting(principal, lock=True)
        person = repository.person(sub, lock=True)
        if person is None or person.right is None:
            raise Refused("person-unknown", "Nobody of that name works in your branches.")
        before = person.right
        left = taken(actor, before, branches)
        check_operator_left(before, len(operators - {sub}))
        now = repository.clock()
        repository.give(person, left)
        if left is None:
            repository.end_sign_ins(person)
        cut_off(sub, before.role, now)
        withdrawn = repository.withdraw_invitations_of(sub, left.branches if left else (), now)
        ended = sorted(before.branches - (left.branches if left else frozenset()))
        noted(actor, "person.remove", sub, now, reason, role=before.role, branches=ended, withdrawn=withdrawn)
    return left
