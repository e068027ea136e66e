"""Makes a helper's token of five minutes for `helm test`: ``python -m identity.oidc.token_of_a_helper``.

Whoever may run it holds the key that signs tokens, and needs no way opened. It asks no database.
"""

import argparse
import secrets
import sys
import time
from pathlib import Path
from typing import Any

import jwt
from allauth.core.internal.jwkkit import load_jwk_from_pem
from pydantic import AnyHttpUrl, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from laundry_service.auth.rsa_keys import pems

LIFE_S = 300
SUBJECT = "helm-test"


class Signing(BaseSettings):
    """Those of the identity service's settings that a token needs."""

    model_config = SettingsConfigDict(env_prefix="LAUNDRY_")

    signing_keys: SecretStr
    public_url: AnyHttpUrl
    jwt_audience: str = "smart-fitness-laundry"


def token(signing: Signing, branch: str, *, now: float) -> str:
    """Return a token that is good for one branch until five minutes from now.

    Raises:
        ValueError: the key cannot be used; the text holds nothing of it.
    """
    named, key = load_jwk_from_pem(pems(signing.signing_keys.get_secret_value())[0])
    claims: dict[str, Any] = {
        "iss": str(signing.public_url).rstrip("/"),
        "aud": signing.jwt_audience,
        "sub": SUBJECT,
        "jti": secrets.token_hex(16),
        "role": "helper",
        "branches": [branch],
        "iat": now,
        "exp": int(now + LIFE_S),
    }
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": named["kid"]})


def main() -> None:
    """Write the token into a file that only its owner reads."""
    parser = argparse.ArgumentParser(prog="python -m identity.oidc.token_of_a_helper", description=__doc__)
    parser.add_argument("--branch", required=True, help="the branch that it is good for")
    parser.add_argument("--to", required=True, type=Path, help="the file that is written")
    arguments = parser.parse_args()
    try:
        made = token(Signing(), arguments.branch, now=time.time())
    except ValidationError as error:
        names = ", ".join(f"LAUNDRY_{str(each['loc'][0]).upper()}" for each in error.errors())
        sys.exit(f"No token: {names} cannot be used.")
    except ValueError as error:
        sys.exit(f"No token: {error}.")
    arguments.to.touch(0o600)
    arguments.to.write_text(made)


if __name__ == "__main__":
    main()
