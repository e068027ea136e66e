"""What the tokens say of somebody."""

from collections.abc import Sequence

from identity.people.models import Person
from identity.people.service.tokens import right_of_person


def claims_of(person: Person) -> tuple[str, Sequence[str]] | None:
    """Return the role and the branches of somebody; None for who has no role, and so no entry."""
    right = right_of_person(person.id)
    return None if right is None else (right.role, sorted(right.branches))
