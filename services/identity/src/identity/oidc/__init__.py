"""The OpenID provider: what allauth's asks of us."""
