"""Who may give a right to whom, and take it away again. Pure rules.

A right is a role in some branches. An operator gives any; an owner only lets helpers into his own branches.
"""

from dataclasses import dataclass
from typing import Literal, get_args

WorkRole = Literal["helper", "owner", "operator"]
WORK_ROLES: tuple[WorkRole, ...] = get_args(WorkRole)
PersonRole = WorkRole | Literal["customer"]
PERSON_ROLES: tuple[PersonRole, ...] = (*WORK_ROLES, "customer")
# What a token may name (laundry_service.auth.claims).
MAX_BRANCHES = 200


class Refused(Exception):
    """What was asked is not for this caller, or not now.

    Attributes:
        code: a stable word in kebab-case for programs.
        detail: a sentence for the person who asked.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class Right:
    """A role in some branches; an operator's has none, because it is for all."""

    role: PersonRole
    branches: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Actor:
    """Who asks, and by which right."""

    sub: str
    right: Right

    @property
    def is_operator(self) -> bool:
        """Whether all branches are open to them."""
        return self.right.role == "operator"

    def sees(self, branch_id: str) -> bool:
        """Whether a branch is theirs to look at."""
        return self.is_operator or branch_id in self.right.branches


def check_invitation(actor: Actor, invited: Right) -> None:
    """Check that somebody may invite others to a right.

    Raises:
        Refused: ``role-forbidden``, ``branch-forbidden`` or ``branches-unfit``.
    """
    if invited.role == "customer":
        raise Refused("role-forbidden", "Customers are not invited.")
    if not actor.is_operator:
        if actor.right.role != "owner" or invited.role != "helper":
            raise Refused(
                "role-forbidden", "Owners invite helpers; everybody else is invited by an operator."
            )
        if foreign := invited.branches - actor.right.branches:
            raise Refused("branch-forbidden", f"The branch {min(foreign)!r} is not one of yours.")
    if invited.role == "operator" and invited.branches:
        raise Refused("branches-unfit", "An operator works for all branches: leave branches out.")
    if invited.role != "operator" and not 0 < len(invited.branches) <= MAX_BRANCHES:
        raise Refused("branches-unfit", f"Name 1 to {MAX_BRANCHES} branches.")


def accepted(sub: str | None, now: Right | None, invited: Right, *, invited_by: str) -> Right:
    """Return the right that somebody has after accepting an invitation.

    Args:
        sub: who accepts; None for somebody new.
        now: the right that they have already.

    Raises:
        Refused: ``own-invitation``, ``role-differs``, ``already-yours`` or ``branches-unfit``.
    """
    if sub is not None and sub == invited_by:
        raise Refused("own-invitation", "You made this invitation yourself. It is for somebody else.")
    if now is None:
        return invited
    if now.role != invited.role:
        raise Refused(
            "role-differs",
            f"The invitation is for a {invited.role}, and this account is a {now.role}'s. "
            "Accept it with another account, or ask an operator to take that right away first.",
        )
    if invited.branches <= now.branches:
        raise Refused("already-yours", "This account has all of that already.")
    if len(now.branches | invited.branches) > MAX_BRANCHES:
        raise Refused("branches-unfit", f"An account is good for {MAX_BRANCHES} branches at most.")
    return Right(now.role, now.branches | invited.branches)


def taken(actor: Actor, right: Right, branches: frozenset[str] | None) -> Right | None:
    """Return what is left of a person's right after it is taken away, None for nothing.

    Args:
        branches: in which it ends; None for all that the actor can end.

    Raises:
        Refused: ``person-unknown``, ``role-forbidden`` or ``branch-forbidden``.
    """
    if actor.is_operator:
        if branches is None:
            return None
        # An operator works in no branch, so that no slip in one ends their whole right.
        ended = branches & right.branches
    else:
        if actor.right.role != "owner":
            raise Refused("role-forbidden", "Owners and operators take rights away.")
        ours = right.branches & actor.right.branches
        if not ours:
            # The same as for nobody at all: names of other branches' people cannot be probed.
            raise Refused("person-unknown", "Nobody of that name works in your branches.")
        if right.role != "helper":
            raise Refused("role-forbidden", "Only an operator takes an owner's right away.")
        if branches is not None and (foreign := branches - actor.right.branches):
            raise Refused("branch-forbidden", f"The branch {min(foreign)!r} is not one of yours.")
        ended = ours if branches is None else branches & ours
    if not ended:
        raise Refused("person-unknown", "That person does not work in the branch.")
    left = right.branches - ended
    return Right(right.role, left) if left else None


def check_operator_left(right: Right, other_operators: int) -> None:
    """Refuse to end the right of the last operator: nobody could make another. Raises Refused."""
    if right.role == "operator" and other_operators == 0:
        raise Refused("last-operator", "This is the last operator. Invite another first.")


def check_operator(actor: Actor) -> None:
    """Refuse what only operators do. Raises Refused."""
    if not actor.is_operator:
        raise Refused("role-forbidden", "Only an operator does this.")
