"""Authentication: a bearer JWT checked against the identity provider's JWKS and deny list.

Claims: ``sub``, ``role`` (helper, owner, customer, operator, device), ``branches``, ``exp``, and if the
provider gives them ``iat``, ``nbf`` and ``jti``.
"""
