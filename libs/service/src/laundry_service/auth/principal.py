"""The caller, as vouched for by the identity provider."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

Role = Literal["helper", "owner", "customer", "operator", "device"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Principal:
    """The caller of a request.

    Attributes:
        expires_at: the token's ``exp`` in Unix seconds; what is begun on its behalf ends by then.
        token_id: the token's ``jti``, if it has one.
        issued_at: the token's ``iat`` in Unix seconds, if it has one.
        key: fingerprint of the key that signed the token; what is begun ends when that key is withdrawn.
        issuer: the token's ``iss``; the people of different issuers have different ``sub``.
    """

    sub: str
    role: Role
    branches: frozenset[str] = field(default_factory=frozenset)
    expires_at: float = math.inf
    token_id: str | None = None
    issued_at: float | None = None
    key: str | None = None
    issuer: str = ""

    def may_see_branch(self, branch_id: str) -> bool:
        """Whether the branch is in the token's claim; an operator sees all."""
        return self.role == "operator" or branch_id in self.branches
