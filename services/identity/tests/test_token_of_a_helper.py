"""The token that `helm test` uploads with, held against what the services ask of tokens."""

import subprocess
import sys
import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from identity.oidc.token_of_a_helper import Signing, token
from laundry_service.auth.rsa_keys import new_key, pems

KEY = new_key()
GIVEN = {"signing_keys": KEY, "public_url": "https://sign-in.example/"}


def test_it_is_a_helper_s_for_one_branch_and_five_minutes() -> None:
    made = token(Signing.model_validate(GIVEN), "helm-test", now=time.time())
    public = load_pem_private_key(pems(KEY)[0].encode(), password=None).public_key()
    claims = jwt.decode(
        made,
        public,  # type: ignore[arg-type]  # an RSA key
        algorithms=["RS256"],
        audience="smart-fitness-laundry",
        issuer="https://sign-in.example",
    )
    assert (claims["role"], claims["branches"]) == ("helper", ["helm-test"])
    assert 290 < claims["exp"] - time.time() <= 300
    assert jwt.get_unverified_header(made)["kid"]


def test_it_is_written_for_its_owner_alone_and_without_a_database(tmp_path: Path) -> None:
    file = tmp_path / "token"
    environment = {"LAUNDRY_SIGNING_KEYS": KEY, "LAUNDRY_PUBLIC_URL": "https://sign-in.example"}
    command = [sys.executable, "-m", "identity.oidc.token_of_a_helper", "--branch", "b1", "--to", str(file)]
    subprocess.run(command, env=environment, check=True, timeout=60)
    assert file.stat().st_mode & 0o777 == 0o600
    assert jwt.get_unverified_header(file.read_text())["alg"] == "RS256"
    refused = subprocess.run(
        command,
        env={**environment, "LAUNDRY_SIGNING_KEYS": "secret"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert refused.returncode == 1
    assert "No token: key 1 is not an RSA key" in refused.stderr
    assert "secret" not in refused.stderr


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="signing_keys"):
        Signing.model_validate({"public_url": "https://sign-in.example"})
