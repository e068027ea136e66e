"""Reads the role and the branches out of the claims that a provider has (groups, roles, an e-mail domain).

As strict as Grafana's ``role_attribute_path`` with ``strict``: whom the mapping gives no role has no entry.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import jmespath
import jmespath.exceptions
import jmespath.functions
from jmespath.parser import ParsedResult
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from laundry_service.auth.claims import BRANCH, MAX_BRANCHES, NO_ROLE, TokenRefused, without_role
from laundry_service.auth.principal import ROLES


class _Functions(jmespath.functions.Functions):  # type: ignore[misc]
    """JMESPath's own, but for one that guesses, and the one that group names need."""

    @jmespath.functions.signature(  # type: ignore[untyped-decorator]
        {"types": ["array"]}, {"types": ["array", "boolean", "null", "number", "object", "string"]}
    )
    def _func_contains(self, entries: list[Any], wanted: Any) -> bool:
        # In a text it would look for a part of it: "former-owners" contains "owners".
        return wanted in entries

    @jmespath.functions.signature(  # type: ignore[untyped-decorator]
        {"types": ["string"]}, {"types": ["string"]}
    )
    def _func_after(self, prefix: str, text: str) -> str | None:
        return text.removeprefix(prefix) if text.startswith(prefix) and text != prefix else None


_OPTIONS = jmespath.Options(custom_functions=_Functions())


def _compiles(expression: str) -> str:
    _compiled(expression)
    return expression


def _compiled(expression: str) -> ParsedResult:
    try:
        return jmespath.compile(expression)
    except (jmespath.exceptions.JMESPathError, ValueError) as error:
        raise ValueError(f"this is no JMESPath expression: {error}") from None


Expression = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_compiles)]


class ClaimMapping(BaseModel):
    """JMESPath expressions over a token's claims.

    ``after('prefix', text)`` is the rest of a text behind a prefix, or null where it does not begin so:
    ``groups[].after('branch-', @)``. ``contains`` looks in lists only.

    Attributes:
        role: gives one of the five roles; anything else is no entry.
        branches: gives a list of branch ids; null is none of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Expression
    branches: Expression = "branches"


def mapped(claims: Mapping[str, Any], mapping: ClaimMapping) -> dict[str, Any]:
    """Return the claims with ``role`` and ``branches`` as the mapping gives them.

    What the token itself says of ``role`` and ``branches`` counts only where the mapping reads it.

    Raises:
        TokenRefused: ``role-missing`` where the mapping gives no role, or branches that are none.
    """
    role = _found(mapping.role, claims)
    if role not in ROLES:
        raise without_role()
    branches = _found(mapping.branches, claims)
    if branches is None:
        branches = []
    good = isinstance(branches, list) and all(
        isinstance(each, str) and BRANCH.match(each) for each in branches
    )
    if not good or len(branches) > MAX_BRANCHES:
        raise TokenRefused(
            NO_ROLE,
            "The branches of this account cannot be read: each is 1 to 40 of a-z, 0-9 and -, and there are "
            f"at most {MAX_BRANCHES}. Ask whoever manages it.",
        )
    return {**claims, "role": role, "branches": branches}


def _found(expression: str, claims: Mapping[str, Any]) -> Any:
    try:
        # JMESPath keeps the last expressions that it compiled.
        return jmespath.search(expression, dict(claims), options=_OPTIONS)
    except (jmespath.exceptions.JMESPathError, RecursionError, TypeError, ValueError):
        # A claim that is missing, or of another type than the expression expects.
        return None
