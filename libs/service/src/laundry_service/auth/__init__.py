"""Who is calling: a bearer JWT checked against the identity provider's JWKS and deny list.

Claims: ``sub``, ``role`` (helper, owner, customer, operator, device), ``branches``, ``exp``, and if the
provider gives them ``iat``, ``nbf`` and ``jti``.
"""

from laundry_service.auth.authenticator import CHALLENGE, Authenticator
from laundry_service.auth.callers import Caller, current_principal, require, require_branch
from laundry_service.auth.claims import ALGORITHMS
from laundry_service.auth.principal import ROLES, Principal, Role

__all__ = [
    "ALGORITHMS",
    "CHALLENGE",
    "ROLES",
    "Authenticator",
    "Caller",
    "Principal",
    "Role",
    "current_principal",
    "require",
    "require_branch",
]
