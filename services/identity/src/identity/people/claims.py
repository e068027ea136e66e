"""What the tokens say of somebody."""

from collections.abc import Sequence

from identity.people.models import Person


def claims_of(person: Person) -> tuple[str, Sequence[str]] | None:
    """Return the role and the branches of somebody; None for who has no role, and so no entry."""
    if not person.is_active or person.role is None:
        return None
    return person.role, [branch.id for branch in person.branches.all()]
