"""How an endpoint asks for what is done in a thread, and what a refusal becomes."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, ParamSpec, TypeVar

from fastapi import Depends

from identity.database import in_database
from identity.people.rights import Refused
from laundry_service.auth.callers import require
from laundry_service.auth.principal import Principal
from laundry_service.http.problems import Problem

Given = ParamSpec("Given")
Result = TypeVar("Result")

Operator = Annotated[Principal, Depends(require("operator"))]
Manager = Annotated[Principal, Depends(require("owner", "operator"))]
Colleague = Annotated[Principal, Depends(require("helper", "owner", "operator"))]

STATUS = {
    "role-forbidden": 403,
    "branch-forbidden": 403,
    "branch-unknown": 404,
    "person-unknown": 404,
    "invitation-unknown": 404,
    "credential-unknown": 404,
    "branches-unfit": 422,
    "too-many-invitations": 429,
}
CONFLICT = 409
WAIT = {"Retry-After": "3600"}


async def do(work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
    """Run a use case or a query. Raises Problem where it is refused."""
    try:
        return await in_database(partial(work, *args, **kwargs))
    except Refused as refused:
        status = STATUS.get(refused.code, CONFLICT)
        raise Problem(
            status, refused.code, refused.detail, headers=WAIT if status == 429 else None
        ) from refused
