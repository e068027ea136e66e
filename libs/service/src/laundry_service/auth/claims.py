"""The rules for a token's claims; the caller has already verified the signature."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from laundry_service.auth.principal import ROLES, Principal, Role

ALGORITHMS = ("ES256", "RS256", "EdDSA")
MAX_TOKEN_BYTES = 8 * 1024
MAX_KEY_ID = 256
MAX_SUBJECT = 255
MAX_TOKEN_ID = 255
MAX_BRANCHES = 200
BRANCH = re.compile(r"[a-z0-9-]{1,40}\Z")
# How far the provider's clock and ours may differ: after exp, and before nbf and iat.
EXPIRED_LEEWAY_S = 5.0
EARLY_LEEWAY_S = 60.0
# 9999-12-31T23:59:59Z, the last moment that datetime knows.
LATEST = 253402300799
# By role, unless it is named here.
DEFAULT_MAX_HOURS = 24.0
MAX_HOURS: Mapping[Role, float] = {"device": 30 * 24.0}


NO_ROLE = "role-missing"


class TokenRefused(Exception):
    """A token that is not accepted.

    Attributes:
        code: ``token-invalid``, ``token-expired``, ``token-lives-too-long`` or ``role-missing``.
        detail: why, for the bearer; contains nothing of the token.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def invalid(why: str) -> TokenRefused:
    """Refuse a token that our provider would never have signed."""
    return TokenRefused("token-invalid", f"The token is not valid: {why}.")


def without_role() -> TokenRefused:
    """Refuse somebody whom the provider knows and who has no right here."""
    return TokenRefused(NO_ROLE, "This account has no role here. Ask whoever manages it for one.")


@dataclass(frozen=True)
class Header:
    """The header of a token."""

    key_id: str
    algorithm: str


def check_header(header: Mapping[str, Any]) -> Header:
    """Read which key and algorithm signed a token.

    Raises:
        TokenRefused: for an algorithm that is not ours, no key id, or an extension that must be understood.
    """
    algorithm, key_id = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise invalid(f"it must be signed with {', '.join(ALGORITHMS)}")
    if "crit" in header or "b64" in header:
        raise invalid("it needs extensions that are not understood here (crit, b64)")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= MAX_KEY_ID:
        raise invalid("it does not name its key (kid)")
    return Header(key_id, cast("str", algorithm))


def check_claims(
    claims: Mapping[str, Any],
    *,
    now: float,
    max_hours: Mapping[Role, float] = MAX_HOURS,
    key: str | None = None,
) -> Principal:
    """Read the principal that a token names, and whether it is valid now.

    Args:
        now: Unix seconds.
        max_hours: how long a token may be good from now on, by role; others have ``DEFAULT_MAX_HOURS``.
        key: fingerprint of the key that signed it.

    Raises:
        TokenRefused: with what is wrong.
    """
    expires_at, begins_at, issued_at = (_moment(claims, name) for name in ("exp", "nbf", "iat"))
    if expires_at is None:
        raise invalid("it has no end (exp)")
    if expires_at + EXPIRED_LEEWAY_S <= now:
        raise TokenRefused("token-expired", "The token has expired. Sign in again.")
    for name, moment in (("nbf", begins_at), ("iat", issued_at)):
        if moment is not None and moment > now + EARLY_LEEWAY_S:
            raise invalid(f"its {name} lies in the future; whoever issues it should look at its clock")
    role, subject, token_id = claims.get("role"), claims.get("sub"), claims.get("jti")
    if role is None:
        raise without_role()
    if role not in ROLES:
        raise invalid(f"its role must be {', '.join(ROLES)}")
    if not is_name(subject, MAX_SUBJECT):
        raise invalid(f"its sub must be 1 to {MAX_SUBJECT} characters that can be printed")
    if token_id is not None and not is_name(token_id, MAX_TOKEN_ID):
        raise invalid(f"its jti must be 1 to {MAX_TOKEN_ID} characters that can be printed")
    hours = max_hours.get(role, DEFAULT_MAX_HOURS)
    if expires_at - now > hours * 3600 + EARLY_LEEWAY_S:
        raise TokenRefused(
            "token-lives-too-long",
            f"Tokens of the role {role} are taken for at most {hours:g} hours. Ask for one that ends sooner.",
        )
    return Principal(
        cast("str", subject),
        role,
        _branches(claims),
        expires_at=expires_at,
        token_id=token_id,
        issued_at=issued_at,
        key=key,
    )


def is_name(value: object, longest: int) -> bool:
    """Whether a value is text that is safe in logs, columns and headers."""
    if not isinstance(value, str) or not 0 < len(value) <= longest or value != value.strip():
        return False
    # Control, format and unassigned characters, lone surrogates, line and paragraph separators.
    return not any(unicodedata.category(each) in _NOT_IN_NAMES for each in value)


_NOT_IN_NAMES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # In this order: a bool is an int, NaN compares false, and a huge int cannot become a float.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= LATEST:
        raise invalid(f"its {name} must be a time in seconds since 1970")
    return float(value)


def _branches(claims: Mapping[str, Any]) -> frozenset[str]:
    branches = claims.get("branches", [])
    if not isinstance(branches, list) or len(branches) > MAX_BRANCHES:
        raise invalid(f"its branches must be a list of at most {MAX_BRANCHES}")
    if not all(isinstance(branch, str) and BRANCH.match(branch) for branch in branches):
        raise invalid("each of its branches must be 1 to 40 of a-z, 0-9 and -")
    return frozenset(branches)
