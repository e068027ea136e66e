"""Tokens: who gets in, and what everybody else is told."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm

from laundry_service.auth import Authenticator, Caller, Principal, require, require_branch
from laundry_service.problems import Problem, install_problems

ISSUER, AUDIENCE = "https://identity.test", "laundry-test"


class Identity:
    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        jwk = json.loads(ECAlgorithm.to_jwk(self.key.public_key()))
        self.jwks = json.dumps({"keys": [{**jwk, "kid": "k1", "alg": "ES256", "use": "sig"}]}).encode()

    def token(self, key: Any = None, **changes: Any) -> str:
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "u1",
            "role": "owner",
            "branches": ["b1"],
            "exp": int(time.time()) + 60,
            **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, key or self.key, algorithm="ES256", headers={"kid": "k1"})


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Identity()


@pytest.fixture(scope="module")
def jwks_url(identity: Identity) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(identity.jwks)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/jwks.json"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def client(jwks_url: str) -> Iterator[TestClient]:
    app = FastAPI()
    app.state.authenticator = Authenticator(jwks_url, issuer=ISSUER, audience=AUDIENCE)
    install_problems(app)

    @app.get("/me")
    async def me(caller: Caller) -> dict[str, Any]:
        return {"sub": caller.sub, "role": caller.role, "branches": sorted(caller.branches)}

    @app.get("/branches/{branch_id}")
    async def branch(branch_id: str, caller: Annotated[Principal, Depends(require("owner"))]) -> str:
        require_branch(caller, branch_id)
        return "in"

    @app.post("/number")
    async def number(body: dict[str, int]) -> dict[str, int]:
        return body

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("a secret detail")

    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def ask(client: TestClient, path: str, token: str) -> Any:
    return client.get(path, headers={"Authorization": f"Bearer {token}"})


def test_a_valid_token_names_its_bearer(client: TestClient, identity: Identity) -> None:
    answer = ask(client, "/me", identity.token())
    assert answer.json() == {"sub": "u1", "role": "owner", "branches": ["b1"]}


def test_without_a_token_the_answer_says_how_to_send_one(client: TestClient) -> None:
    answer = client.get("/me")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exp": 1}, "token-expired"),
        ({"exp": None}, "token-invalid"),
        ({"iss": "https://somebody.else"}, "token-invalid"),
        ({"aud": "another-product"}, "token-invalid"),
        ({"role": "emperor"}, "token-invalid"),
        ({"role": None}, "token-invalid"),
        ({"sub": None}, "token-invalid"),
        ({"branches": "b1"}, "token-invalid"),
        ({"branches": [1]}, "token-invalid"),
    ],
)
def test_a_bad_token_is_refused(
    client: TestClient, identity: Identity, changes: dict[str, Any], code: str
) -> None:
    answer = ask(client, "/me", identity.token(**changes))
    assert (answer.status_code, answer.json()["code"]) == (401, code)


def test_a_token_of_another_key_is_refused(client: TestClient, identity: Identity) -> None:
    assert ask(client, "/me", identity.token(key=ec.generate_private_key(ec.SECP256R1()))).status_code == 401


def test_a_tampered_token_is_refused(client: TestClient, identity: Identity) -> None:
    head, _, signature = identity.token().split(".")
    _, body, _ = identity.token(role="operator").split(".")
    assert ask(client, "/me", f"{head}.{body}.{signature}").status_code == 401


def test_an_unsigned_token_is_refused(client: TestClient) -> None:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u", "role": "operator", "exp": int(time.time()) + 60}
    assert ask(client, "/me", jwt.encode(claims, "", algorithm="none")).status_code == 401


def test_the_public_key_is_no_secret_to_sign_with(client: TestClient, identity: Identity) -> None:
    import base64
    import hashlib
    import hmac

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u", "role": "operator", "exp": int(time.time()) + 60}
    signed = f"{part({'alg': 'HS256', 'kid': 'k1'})}.{part(claims)}"
    digest = hmac.new(identity.jwks, signed.encode(), hashlib.sha256).digest()
    token = f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
    assert ask(client, "/me", token).status_code == 401


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(token=st.text(st.characters(codec="ascii", exclude_characters="\r\n\0"), max_size=80))
def test_no_text_passes_for_a_token(client: TestClient, token: str) -> None:
    answer = ask(client, "/me", token)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


def test_while_the_key_set_is_away_the_answer_is_to_come_again() -> None:
    app = FastAPI()
    app.state.authenticator = Authenticator(
        "http://127.0.0.1:9/jwks.json", issuer=ISSUER, audience=AUDIENCE, timeout_s=1
    )
    install_problems(app)

    @app.get("/me")
    async def me(caller: Caller) -> str:
        return caller.sub

    token = jwt.encode({"sub": "u"}, "x" * 32, algorithm="HS256", headers={"kid": "k1"})
    with TestClient(app) as client:
        answer = ask(client, "/me", token)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_a_checked_token_is_believed_for_a_minute_but_never_beyond_its_end(
    jwks_url: str, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = Authenticator(jwks_url, issuer=ISSUER, audience=AUDIENCE)
    long, short = (identity.token(exp=int(time.time()) + seconds) for seconds in (3600, 30))
    for token in (long, short):
        assert (await authenticator.check(token)).sub == "u1"
    monkeypatch.setattr(authenticator, "_audience", "somebody-else")
    real, passed = time.time, 0.0
    monkeypatch.setattr("laundry_service.auth.time.time", lambda: real() + passed)
    assert (await authenticator.check(long)).sub == "u1"
    passed = 31.0
    with pytest.raises(Problem):
        await authenticator.check(short)
    assert (await authenticator.check(long)).sub == "u1"
    passed = 61.0
    with pytest.raises(Problem):
        await authenticator.check(long)


def test_a_role_or_a_branch_that_is_not_ones_own_is_forbidden(client: TestClient, identity: Identity) -> None:
    assert ask(client, "/branches/b1", identity.token()).text == '"in"'
    assert ask(client, "/branches/b2", identity.token()).json()["code"] == "branch-forbidden"
    assert ask(client, "/branches/b1", identity.token(role="helper")).json()["code"] == "role-forbidden"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{not json", 400, "malformed-json"),
        (b'{"a": "b"}', 422, "invalid-request"),
        (b"", 422, "invalid-request"),
    ],
)
def test_a_bad_body_is_a_problem_document(client: TestClient, body: bytes, status: int, code: str) -> None:
    answer = client.post("/number", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_unknown_path_is_a_problem_document(client: TestClient) -> None:
    answer = client.get("/nowhere")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


def test_a_bug_tells_the_caller_nothing_of_the_inside(client: TestClient) -> None:
    answer = client.get("/bug")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
