"""FastAPI dependencies: who is calling, and whether they may."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from laundry_service.auth.authenticator import CHALLENGE, Authenticator
from laundry_service.auth.principal import Principal, Role
from laundry_service.http.client_address import client_address
from laundry_service.http.problems import Problem, path_template
from laundry_service.limits.rates import RateLimits

_bearer = HTTPBearer(auto_error=False, description="A JWT with the claims sub, role and branches")


async def current_principal(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Principal:
    """FastAPI dependency: the caller of this request, else 401; 429 beyond the rate limit."""
    if credentials is None:
        raise Problem(401, "token-missing", "Send a token: Authorization: Bearer <JWT>.", headers=CHALLENGE)
    authenticator: Authenticator = request.app.state.authenticator
    limits: RateLimits | None = getattr(request.app.state, "rate_limits", None)
    address = client_address(request.scope)
    # An address that sent too many forged tokens triggers no more key fetches; others behind the
    # same address are still served.
    forging = limits is not None and limits.forging(address)
    try:
        principal = await authenticator.check(credentials.credentials, seek=not forging)
    except Problem as problem:
        if limits is not None and problem.code == "token-invalid":
            limits.count_forged(address)
        raise
    request.state.principal = principal
    if limits is not None:
        limits.count(principal, address, request.method, path_template(request.scope))
    return principal


Caller = Annotated[Principal, Depends(current_principal)]


def require(*roles: Role) -> Callable[[Principal], Awaitable[Principal]]:
    """Make a dependency that allows these roles only: ``Annotated[Principal, Depends(require("owner"))]``."""

    # Not a plain function: FastAPI runs those in a thread, on every request.
    async def check(principal: Caller) -> Principal:
        if principal.role not in roles:
            raise Problem(
                403,
                "role-forbidden",
                f"This needs the role {' or '.join(roles)}; the token says {principal.role}.",
            )
        return principal

    return check


def count_more(request: Request, principal: Principal, times: int) -> None:
    """Count a request that does as much as several as the others of them, too; it itself is counted already.

    Raises:
        Problem: 429, with when to come again.
    """
    limits: RateLimits | None = getattr(request.app.state, "rate_limits", None)
    if limits is not None and times > 0:
        address = client_address(request.scope)
        limits.count(principal, address, request.method, path_template(request.scope), times=times)


def require_branch(principal: Principal, branch_id: str) -> None:
    """Refuse a branch outside the token's claim.

    Raises:
        Problem: 403; the same whether the branch exists or not, so that nobody can probe for names.
    """
    if not principal.may_see_branch(branch_id):
        raise Problem(403, "branch-forbidden", f"The token does not name the branch {branch_id[:40]!r}.")
