"""Who calls: owners, operators and customers, and what they may read."""

from typing import Annotated, cast

from fastapi import Depends, Header

from laundry_service.auth.callers import require
from laundry_service.auth.principal import Principal
from notification.model import KIND_FOR, Reader, Role

User = Annotated[Principal, Depends(require("owner", "operator", "customer"))]
AcceptLanguage = Annotated[str | None, Header(description="ko (default) or en")]


def role_of(user: Principal) -> Role:
    """Return the role that the token names."""
    return cast("Role", user.role)


def reader_of(user: Principal) -> Reader:
    """Return what a user may read: an owner of the branches in the token only, others of any."""
    role = role_of(user)
    return Reader(user.sub, KIND_FOR[role], user.branches if role == "owner" else None)
