"""Who gets in, and what everybody else is told."""

import time

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from laundry_service.auth.authenticator import Authenticator
from laundry_service.auth.callers import Caller
from laundry_service.http.problems import install_problems
from laundry_testing.provider import AUDIENCE, ISSUER, SigningKey

from .asking import ask


def test_a_valid_token_names_its_bearer(client: TestClient, identity: SigningKey) -> None:
    answer = ask(client, "/me", identity.sign())
    assert answer.json() == {"sub": "u1", "role": "owner", "branches": ["b1"]}


def test_without_a_token_the_answer_says_how_to_send_one(client: TestClient) -> None:
    answer = client.get("/me")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer" in answer.json()["detail"]


def test_while_the_key_set_is_away_the_answer_is_to_come_again(identity: SigningKey) -> None:
    app = FastAPI()
    app.state.authenticator = Authenticator(
        "http://127.0.0.1:9/jwks.json", issuer=ISSUER, audience=AUDIENCE, timeout_s=1
    )
    install_problems(app)

    @app.get("/me")
    async def me(caller: Caller) -> str:
        return caller.sub

    with TestClient(app) as client:
        answer = ask(client, "/me", identity.sign())
    assert answer.status_code == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 5


async def test_the_caller_says_when_and_by_what_it_was_vouched_for(
    jwks_url: str, identity: SigningKey
) -> None:
    authenticator = Authenticator(jwks_url, issuer=ISSUER, audience=AUDIENCE)
    now = int(time.time())
    principal = await authenticator.check(identity.sign(iat=now - 5, jti="t1", exp=now + 60))
    assert (principal.issued_at, principal.token_id, principal.expires_at) == (now - 5, "t1", now + 60)
    assert authenticator.allows(principal)


@pytest.mark.parametrize(("hours", "status"), [(99.0, 401), (101.0, 200)])
def test_how_long_a_token_may_live_is_set_by_role(
    jwks_url: str, identity: SigningKey, hours: float, status: int
) -> None:
    app = FastAPI()
    app.state.authenticator = Authenticator(
        jwks_url, issuer=ISSUER, audience=AUDIENCE, max_hours={"owner": hours}
    )
    install_problems(app)

    @app.get("/me")
    async def me(caller: Caller) -> str:
        return caller.sub

    with TestClient(app) as client:
        answer = ask(client, "/me", identity.sign(exp=int(time.time()) + 100 * 3600))
    assert answer.status_code == status


def test_a_role_or_a_branch_that_is_not_ones_own_is_forbidden(
    client: TestClient, identity: SigningKey
) -> None:
    assert ask(client, "/branches/b1", identity.sign()).text == '"in"'
    assert ask(client, "/branches/b2", identity.sign()).json()["code"] == "branch-forbidden"
    assert ask(client, "/branches/b1", identity.sign(role="helper")).json()["code"] == "role-forbidden"


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
