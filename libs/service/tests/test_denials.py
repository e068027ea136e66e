"""Who is refused stands in the log and in the metrics, without a token, and a flood fills nothing."""

import io
import json
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from httpx import Response
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY

from laundry_service.auth import denials
from laundry_service.auth.authenticator import Authenticator
from laundry_service.auth.callers import Caller, require, require_branch
from laundry_service.auth.denials import LINES_AT_ONCE, LineBudget, denied
from laundry_service.auth.principal import Principal
from laundry_service.http.problems import install_problems
from laundry_service.limits.rates import Allowance, RateLimits
from laundry_service.telemetry.tracing import trace_requests
from laundry_testing.provider import AUDIENCE, ISSUER, IdentityProvider, SigningKey

KEY = SigningKey("k1")


@pytest.fixture(autouse=True)
def _fresh_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denials, "budget", LineBudget())


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []

    class Log:
        def warning(self, event: str, **values: Any) -> None:
            told.append({"event": event, **values})

    monkeypatch.setattr(denials, "log", Log())
    return told


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider(KEY).serving() as provider:
        yield provider


@pytest.fixture
def client(provider: IdentityProvider) -> Iterator[TestClient]:
    app = FastAPI()
    app.state.authenticator = Authenticator(provider.jwks_url, issuer=ISSUER, audience=AUDIENCE)
    app.state.rate_limits = RateLimits({"other-changes": Allowance(person="1/m")})
    install_problems(app)

    @app.api_route("/branches/{branch_id}", methods=["GET", "POST"])
    async def branch(branch_id: str, caller: Annotated[Principal, Depends(require("owner"))]) -> str:
        require_branch(caller, branch_id)
        return "in"

    with TestClient(app) as client:
        yield client


def count(code: str, role: str, via: str = "http") -> float:
    labels = {"code": code, "via": via, "role": role}
    return REGISTRY.get_sample_value("laundry_denials_total", labels) or 0.0


def ask(client: TestClient, method: str, path: str, token: str | None) -> int:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    answer: Response = client.request(method, path, headers=headers)
    return answer.status_code


@pytest.mark.parametrize(
    ("path", "claims", "code", "role"),
    [
        ("/branches/b2", {}, "branch-forbidden", "owner"),
        ("/branches/b1", {"role": "helper"}, "role-forbidden", "helper"),
        ("/branches/b1", {"exp": 1}, "token-expired", "none"),
        ("/branches/b1", {"iss": "x"}, "token-invalid", "none"),
        ("/branches/b1", None, "token-missing", "none"),
    ],
)
def test_who_is_refused_is_told_and_counted(
    client: TestClient,
    lines: list[dict[str, Any]],
    path: str,
    claims: dict[str, Any] | None,
    code: str,
    role: str,
) -> None:
    before = count(code, role)
    token = None if claims is None else KEY.sign(jti="t-1", **claims)
    assert ask(client, "GET", path, token) in (401, 403)
    assert count(code, role) == before + 1
    (line,) = lines
    known = {"sub": "u1", "role": role, "token_id": "t-1"} if role != "none" else {}
    assert line == {
        "event": "denied",
        "code": code,
        "via": "http",
        "address": "testclient",
        "path": "/branches/{branch_id}",
        **known,
    }


def test_what_is_too_much_is_told_with_who_it_was(client: TestClient, lines: list[dict[str, Any]]) -> None:
    for _ in range(2):
        status = ask(client, "POST", "/branches/b1", KEY.sign())
    assert status == 429
    assert (lines[-1]["code"], lines[-1]["sub"]) == ("too-many-requests", "u1")


def test_who_is_on_the_deny_list_is_named_when_they_try(
    provider: IdentityProvider, lines: list[dict[str, Any]]
) -> None:
    app = FastAPI()
    app.state.authenticator = Authenticator(
        provider.jwks_url, issuer=ISSUER, audience=AUDIENCE, deny_list_url=provider.deny_list_url
    )
    install_problems(app)

    @app.get("/me")
    async def me(caller: Caller) -> str:
        return caller.sub

    provider.denied = [{"sub": "thief"}]
    with TestClient(app) as client:
        answer = client.get("/me", headers={"Authorization": f"Bearer {KEY.sign(sub='thief', jti='t-9')}"})
    assert (answer.status_code, answer.json()["code"]) == (401, "token-denied")
    assert "thief" not in answer.text
    assert (lines[0]["sub"], lines[0]["token_id"], lines[0]["code"]) == ("thief", "t-9", "token-denied")


def test_what_is_no_denial_is_not_told(client: TestClient, lines: list[dict[str, Any]]) -> None:
    assert ask(client, "GET", "/nowhere", None) == 404
    assert ask(client, "GET", "/branches/b1", KEY.sign()) == 200
    assert not lines


def test_no_line_and_no_metric_holds_a_token_or_a_part_of_one(
    client: TestClient, lines: list[dict[str, Any]]
) -> None:
    tokens = [
        KEY.sign(exp=1),
        KEY.sign(iss="mark"),
        KEY.sign(header={"kid": "mark"}),
        "mark",
        f"{KEY.sign()}mark",
    ]
    for token in tokens:
        assert ask(client, "GET", f"/branches/b1?token={token}", token) == 401
    metrics = " ".join(str(each) for each in REGISTRY.collect())
    for token in tokens:
        for piece in token.split("."):
            assert piece not in json.dumps(lines)
            assert len(piece) < 5 or piece not in metrics


def test_a_flood_is_told_in_part_and_says_how_much_was_left_out() -> None:
    now = 0.0
    budget = LineBudget(lambda: now)
    told = [budget.take("token-invalid") for _ in range(1000)]
    assert [each for each in told if each is not None] == [0] * LINES_AT_ONCE
    assert budget.take("role-forbidden") == 0, "one flood hides no other denial"
    now = 2.0
    assert budget.take("token-invalid") == 1000 - LINES_AT_ONCE
    assert budget.take("token-invalid") == 0


def test_the_codes_that_are_remembered_are_bounded() -> None:
    budget = LineBudget(lambda: 0.0)
    for number in range(1000):
        budget.take(f"code-{number}")
    assert len(budget._codes) < 100


def test_a_refused_login_of_equipment_says_who_it_claimed_to_be(lines: list[dict[str, Any]]) -> None:
    before = count("token-invalid", "none", "mqtt")
    denied("token-invalid", via="mqtt", claimed="washer-1")
    assert count("token-invalid", "none", "mqtt") == before + 1
    assert lines[0]["claimed"] == "washer-1"


@pytest.mark.parametrize("claimed", [KEY.sign(), KEY.sign()[:30], "washer-1" + "x" * 500, "a\nb", "", "é"])
def test_a_token_in_the_place_of_a_name_is_not_told(lines: list[dict[str, Any]], claimed: str) -> None:
    denied("login-invalid", via="mqtt", claimed=claimed)
    assert lines[0]["claimed"] == "not a name"


def test_a_span_holds_no_query_and_no_authorization(
    provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Even where somebody lets OpenTelemetry capture every header.
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", ".*")
    spans = InMemorySpanExporter()
    tracer = TracerProvider()
    tracer.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", tracer)
    app = FastAPI()

    @app.get("/things")
    async def things() -> str:
        return "here"

    trace_requests(app)
    with TestClient(app) as client:
        headers = {"Authorization": "Bearer secret-1", "Cookie": "a=secret-2", "X-Auth-Token": "secret-3"}
        assert client.get("/things?access_token=secret-4", headers=headers).status_code == 200
    finished = spans.get_finished_spans()
    assert finished
    told = io.StringIO()
    for span in finished:
        told.write(span.to_json())
    assert "/things" in told.getvalue()
    assert "secret" not in told.getvalue().replace("secret-scanning", "")
