"""Which tokens are taken, and what is told of the others."""

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laundry_service.auth.authenticator import Authenticator
from laundry_service.auth.claims import MAX_TOKEN_BYTES, TokenRefused
from laundry_service.auth.issuer import Issuer
from laundry_service.auth.principal import Principal
from laundry_service.http.problems import Problem
from laundry_testing.provider import AUDIENCE, ISSUER, IdentityProvider, SigningKey

from .asking import ask


@dataclass(frozen=True)
class In:
    """So many seconds after the test begins, which may be long after it was collected."""

    seconds: float


def from_now(changes: dict[str, Any]) -> dict[str, Any]:
    now = int(time.time())
    return {name: now + value.seconds if isinstance(value, In) else value for name, value in changes.items()}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exp": 1}, "token-expired"),
        ({"exp": None}, "token-invalid"),
        ({"exp": True}, "token-invalid"),
        ({"exp": "9999999999"}, "token-invalid"),
        ({"exp": 1e300}, "token-invalid"),
        ({"exp": 10**400}, "token-invalid"),
        ({"exp": float("inf")}, "token-invalid"),
        ({"exp": float("nan")}, "token-invalid"),
        ({"exp": -1}, "token-invalid"),
        ({"exp": [9999999999]}, "token-invalid"),
        ({"exp": In(86400 + 600)}, "token-lives-too-long"),
        ({"exp": 253402300799}, "token-lives-too-long"),
        ({"role": "device", "sub": "washer-1", "exp": In(31 * 86400)}, "token-lives-too-long"),
        ({"nbf": In(3600)}, "token-invalid"),
        ({"nbf": "soon"}, "token-invalid"),
        ({"iat": In(3600)}, "token-invalid"),
        ({"iat": True}, "token-invalid"),
        ({"iat": float("inf")}, "token-invalid"),
        ({"iss": "https://somebody.else"}, "token-invalid"),
        ({"iss": [ISSUER]}, "token-invalid"),
        ({"aud": "another-product"}, "token-invalid"),
        ({"aud": {"a": 1}}, "token-invalid"),
        ({"role": "emperor"}, "token-invalid"),
        ({"role": ["owner"]}, "token-invalid"),
        ({"role": None}, "role-missing"),
        ({"sub": None}, "token-invalid"),
        ({"sub": ""}, "token-invalid"),
        ({"sub": " "}, "token-invalid"),
        ({"sub": 7}, "token-invalid"),
        ({"sub": "a\0b"}, "token-invalid"),
        ({"sub": "a\nb"}, "token-invalid"),
        ({"sub": "a\u2028b"}, "token-invalid"),
        ({"sub": "a\u202eb"}, "token-invalid"),
        ({"sub": "a\ud800"}, "token-invalid"),
        ({"sub": "x" * 256}, "token-invalid"),
        ({"jti": 7}, "token-invalid"),
        ({"jti": "a\0"}, "token-invalid"),
        ({"jti": "x" * 300}, "token-invalid"),
        ({"branches": "b1"}, "token-invalid"),
        ({"branches": [1]}, "token-invalid"),
        ({"branches": {"b1": 1}}, "token-invalid"),
        ({"branches": ["B1"]}, "token-invalid"),
        ({"branches": ["b1\n"]}, "token-invalid"),
        ({"branches": [""]}, "token-invalid"),
        ({"branches": ["b" * 41]}, "token-invalid"),
        ({"branches": [f"b{n}" for n in range(201)]}, "token-invalid"),
        ({"filler": "x" * MAX_TOKEN_BYTES}, "token-invalid"),
    ],
)
def test_a_bad_token_is_refused(
    client: TestClient, identity: SigningKey, changes: dict[str, Any], code: str
) -> None:
    answer = ask(client, "/me", identity.sign(**from_now(changes)))
    assert (answer.status_code, answer.json()["code"]) == (401, code)


def test_a_token_of_another_key_is_refused(client: TestClient) -> None:
    assert ask(client, "/me", SigningKey("k1").sign()).status_code == 401


def test_a_tampered_token_is_refused(client: TestClient, identity: SigningKey) -> None:
    head, _, signature = identity.sign().split(".")
    _, body, _ = identity.sign(role="operator").split(".")
    assert ask(client, "/me", f"{head}.{body}.{signature}").status_code == 401


def test_an_unsigned_token_is_refused(client: TestClient) -> None:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u", "role": "operator", "exp": int(time.time()) + 60}
    assert ask(client, "/me", jwt.encode(claims, "", algorithm="none")).status_code == 401


def test_the_public_key_is_no_secret_to_sign_with(client: TestClient, identity: SigningKey) -> None:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u", "role": "operator", "exp": int(time.time()) + 60}
    signed = f"{part({'alg': 'HS256', 'kid': 'k1'})}.{part(claims)}"
    digest = hmac.new(json.dumps(identity.jwk()).encode(), signed.encode(), hashlib.sha256).digest()
    token = f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
    assert ask(client, "/me", token).status_code == 401


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(token=st.text(st.characters(codec="ascii", exclude_characters="\r\n\0"), max_size=80))
def test_no_text_passes_for_a_token(client: TestClient, token: str) -> None:
    answer = ask(client, "/me", token)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


def refuse_all(*_: Any) -> Principal:
    raise TokenRefused("token-invalid", "all are refused now")


async def test_a_checked_token_is_believed_for_a_minute_but_never_beyond_its_end(
    jwks_url: str, identity: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = Authenticator(jwks_url, issuer=ISSUER, audience=AUDIENCE)
    long, short = (identity.sign(exp=int(time.time()) + seconds) for seconds in (3600, 30))
    for token in (long, short):
        assert (await authenticator.check(token)).sub == "u1"
    monkeypatch.setattr(Issuer, "verify", refuse_all)
    real, passed = time.time, 0.0
    clock = SimpleNamespace(time=lambda: real() + passed)
    monkeypatch.setattr("laundry_service.auth.authenticator.time", clock)
    assert (await authenticator.check(long)).sub == "u1"
    passed = 31.0
    with pytest.raises(Problem):
        await authenticator.check(short)
    assert (await authenticator.check(long)).sub == "u1"
    passed = 61.0
    with pytest.raises(Problem):
        await authenticator.check(long)


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False},
        {"kid": ""},
        {"kid": "x" * 300},
        {"kid": "\ud800"},
        {"jku": "https://evil.test/jwks.json", "kid": "evil"},
    ],
)
def test_a_header_that_asks_for_more_than_is_done_here_is_refused(
    client: TestClient, identity: SigningKey, header: dict[str, Any]
) -> None:
    answer = ask(client, "/me", identity.sign(header=header))
    assert (answer.status_code, answer.json()["code"]) == (401, "token-invalid")


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "token",
    [
        f"{part({'alg': 'none', 'kid': 'k1'})}.{part({'sub': 'u1'})}.",
        f"{part({'alg': 'nOnE', 'kid': 'k1'})}.{part({'sub': 'u1'})}.",
        f"{part({'alg': 'PS256', 'kid': 'k1'})}.{part({'sub': 'u1'})}.AAAA",
        f"{part({'alg': ['ES256'], 'kid': 'k1'})}.{part({'sub': 'u1'})}.AAAA",
        f"{part({'alg': 'ES256', 'kid': 'k1'})}.{part([])}.AAAA",
        f"{part({'alg': 'ES256'})}.{part({})}.AAAA",
        f"{part([])}.{part({})}.AAAA",
        f"{part(b'[' * 4000)}.{part({})}.AAAA",
        f"{part({'alg': 'ES256', 'kid': ['k1']})}.{part({})}.AAAA",
        f"{part(bytes([255, 254]))}.{part({})}.AAAA",
        "..",
        "a.b",
        "a.b.c.d.e",
        "x" * 20_000,
        "é.é.é",
    ],
)
def test_what_is_no_token_of_ours_is_refused_and_makes_no_fetch(
    client: TestClient, provider: IdentityProvider, identity: SigningKey, token: str
) -> None:
    ask(client, "/me", identity.sign())
    before = provider.fetches["/jwks.json"]
    answer = client.get("/me", headers={"Authorization": b"Bearer " + token.encode("latin-1")})
    assert (answer.status_code, answer.json()["code"]) == (401, "token-invalid")
    assert provider.fetches["/jwks.json"] == before


def test_what_is_told_of_a_bad_token_holds_nothing_of_it(
    new_client: TestClient, identity: SigningKey
) -> None:
    marks: dict[str, Any] = {
        "iss": "mark-iss",
        "aud": "mark-aud",
        "role": "mark-role",
        "sub": "mark\0sub",
        "jti": "mark\0j",
    }
    tokens = [identity.sign(**{name: value}) for name, value in marks.items()]
    tokens += [
        identity.sign(header={"kid": "mark-kid"}),
        identity.sign(header={"alg": "ES256", "crit": ["mark"]}),
    ]
    tokens += [f"mark{identity.sign()}", f"{identity.sign()}mark"]
    for token in tokens:
        answer = ask(new_client, "/me", token)
        assert answer.status_code == 401
        assert "mark" not in answer.text
        assert not any(piece in answer.text for piece in token.split("."))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": In(86000)},
        {"exp": In(600.5)},
        {"role": "device", "sub": "washer-1", "exp": In(29 * 86400)},
        {"iat": None},
        {"iat": In(20)},
        {"nbf": In(-20.5)},
        {"branches": []},
        {"branches": None},
        {"sub": "auth0|김지수"},
        {"aud": [AUDIENCE, "another"]},
        {"jti": "4f0c"},
    ],
)
def test_whatever_a_provider_may_rightly_say_is_taken(
    client: TestClient, identity: SigningKey, changes: dict[str, Any]
) -> None:
    answer = ask(client, "/me", identity.sign(**from_now(changes)))
    assert answer.status_code == 200, answer.text
