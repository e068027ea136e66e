"""Branches: made and renamed by operators."""

from django.db import IntegrityError

from identity.people import repository
from identity.people.models import Branch
from identity.people.rights import Refused
from identity.people.service.acting import acting_operator, noted
from laundry_service.auth.principal import Principal


def make_branch(principal: Principal, branch_id: str, name_ko: str, name_en: str) -> Branch:
    """Make a branch. Raises Refused: ``role-forbidden``, ``branch-exists``."""
    with acting_operator(principal) as actor:
        branch = Branch(id=branch_id, name_ko=name_ko, name_en=name_en)
        try:
            repository.add_branch(branch)
        except IntegrityError as error:
            raise Refused("branch-exists", f"There is a branch {branch_id!r} already.") from error
        noted(actor, "branch.create", branch_id, repository.clock(), name_ko=name_ko, name_en=name_en)
    return branch


def rename_branch(principal: Principal, branch_id: str, name_ko: str | None, name_en: str | None) -> Branch:
    """Give a branch other names. Raises Refused: ``role-forbidden``, ``branch-unknown``."""
    with acting_operator(principal) as actor:
        branch = repository.branch_for_update(branch_id)
        if branch is None:
            raise Refused("branch-unknown", f"There is no branch {branch_id!r}.")
        branch.name_ko, branch.name_en = name_ko or branch.name_ko, name_en or branch.name_en
        branch.save()
        noted(
            actor,
            "branch.rename",
            branch_id,
            repository.clock(),
            name_ko=branch.name_ko,
            name_en=branch.name_en,
        )
    return branch
