"""How often one person and one address may do something, and what that costs in memory."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from pydantic import ValidationError

from laundry_service.auth.authenticator import Authenticator
from laundry_service.auth.callers import Caller, require
from laundry_service.auth.principal import Principal
from laundry_service.http.problems import Problem, install_problems
from laundry_service.limits.rates import DEFAULTS, UNKNOWN, Allowance, RateLimits, grouped
from laundry_service.settings import ServiceSettings
from laundry_testing.provider import AUDIENCE, ISSUER, IdentityProvider, SigningKey
from laundry_testing.serving import serving

KEY = SigningKey("k1")
HERE, THERE = "192.0.2.1", "192.0.2.2"
UPLOAD = ("POST", "/tasks")


def person(name: str = "kim", role: Any = "helper") -> Principal:
    return Principal(name, role)


def times(limits: RateLimits, who: Principal, address: str, *, most: int = 1000) -> int:
    """How often somebody may upload until it is too much."""
    for number in range(most):
        try:
            limits.count(who, address, *UPLOAD)
        except Problem as problem:
            assert problem.status == 429
            return number
    return most


def test_a_person_has_a_limit_wherever_they_are_and_takes_nothing_from_others() -> None:
    limits = RateLimits({"uploads": Allowance(person="5/m", address="100/m")})
    assert times(limits, person(), HERE) == 5
    assert times(limits, person(), THERE) == 0
    assert times(limits, person("lee"), HERE) == 5
    assert times(limits, person("kim", "operator"), HERE) == 5, "another role is somebody else"


def test_a_machine_has_a_limit_and_its_namesake_in_another_branch_has_its_own() -> None:
    limits = RateLimits({"uploads": Allowance(person="5/m", address="100/m")})
    here, there = (Principal("washer-1", "device", frozenset({branch})) for branch in ("b1", "b2"))
    assert [times(limits, each, HERE) for each in (here, there, here)] == [5, 5, 0]
    # A person is one in whatever branches.
    kim = Principal("kim", "helper", frozenset({"b1"})), Principal("kim", "helper", frozenset({"b2"}))
    assert [times(limits, each, HERE) for each in kim] == [5, 0]


def test_an_address_has_a_limit_whoever_is_behind_it() -> None:
    limits = RateLimits({"uploads": Allowance(person="5/m", address="12/m")})
    assert [times(limits, person(name), HERE) for name in ("a", "b", "c", "d")] == [5, 5, 2, 0]
    assert times(limits, person("e"), THERE) == 5


def test_what_does_as_much_as_several_counts_as_several() -> None:
    limits = RateLimits({"uploads": Allowance(person="5/m", address="100/m")})
    limits.count(person(), HERE, *UPLOAD, times=3)
    with pytest.raises(Problem):
        limits.count(person(), HERE, *UPLOAD, times=3)
    assert times(limits, person(), HERE) == 2


def test_what_a_person_is_refused_does_not_use_up_their_address() -> None:
    limits = RateLimits({"uploads": Allowance(person="2/m", address="6/m")})
    for _ in range(20):
        times(limits, person(), HERE)
    assert times(limits, person("lee"), HERE) == 2


def test_what_is_too_much_says_when_to_come_again() -> None:
    limits = RateLimits({"uploads": Allowance(person="6/m")})
    times(limits, person(), HERE)
    with pytest.raises(Problem) as refused:
        limits.count(person(), HERE, *UPLOAD)
    problem = refused.value
    assert (problem.status, problem.code, problem.extra["limit"]) == (429, "too-many-requests", "uploads")
    assert 1 <= int(problem.headers["Retry-After"]) <= 10
    assert problem.headers["RateLimit-Policy"] == '"uploads";q=6;w=60'
    assert problem.headers["RateLimit"] == f'"uploads";r=0;t={problem.headers["Retry-After"]}'


def test_each_kind_has_its_own_count_and_reading_has_none() -> None:
    limits = RateLimits({"uploads": Allowance(person="1/m"), "other-changes": Allowance(person="2/m")})
    assert times(limits, person(), HERE) == 1
    limits.count(person(), HERE, "PUT", "/customers/me/preference")
    limits.count(person(), HERE, "DELETE", "/devices")
    limits.count(person(), HERE, "POST", None)
    with pytest.raises(Problem) as refused:
        limits.count(person(), HERE, "PATCH", "/anything/new")
    assert refused.value.extra["limit"] == "other-changes"
    for _ in range(1000):
        limits.count(person(), HERE, "GET", "/tasks")


def test_a_limit_may_be_taken_away() -> None:
    limits = RateLimits({"uploads": Allowance()})
    assert times(limits, person(), HERE, most=5000) == 5000


def test_a_flood_of_names_and_addresses_is_remembered_up_to_a_bound() -> None:
    limits = RateLimits(max_names=50)
    for number in range(500):
        limits.count(person(f"p{number}"), f"10.1.{number // 256}.{number % 256}", *UPLOAD)
        limits.count_forged(f"10.2.{number // 256}.{number % 256}")
    stores = {id(t.limiter._store): t.limiter._store for t in every_throttle(limits)}
    assert len(stores) == 3
    for store in stores.values():
        assert len(store._backend.get_client()) <= 50
        assert len(store._backend.expire_info) <= 50


def every_throttle(limits: RateLimits) -> Iterator[Any]:
    for each in (limits._persons, limits._addresses):
        yield from (throttle for throttle in each.values() if throttle is not None)


@pytest.mark.parametrize(
    "rate", ["", "ten a minute", "0/m", "-1/m", "10/fortnight", "10", "5/s,6/m", 7, None]
)
def test_a_rate_that_is_none_is_refused_when_the_service_starts(rate: Any) -> None:
    if rate is None:
        assert Allowance(person=None).person is None
        return
    with pytest.raises(ValidationError):
        Allowance(person=rate)


SETTINGS: dict[str, Any] = {
    "service_name": "x",
    "amqp_url": "amqp://x",
    "jwks_url": "http://x",
    "jwt_issuer": "i",
}


def test_settings_name_limits_that_there_are() -> None:
    made = ServiceSettings(**SETTINGS, rate_limits={"uploads": {"person": "9/h"}})
    assert made.rate_limits["uploads"].person == "9/h"
    for wrong in (
        {"rate_limits": {"downloads": {"person": "9/h"}}},
        {"rate_limits": {"uploads": {"persons": "9/h"}}},
        {"jwks_lifespan_s": 301},
        {"token_max_hours": {"king": 1}},
        {"token_max_hours": {"owner": 0}},
    ):
        with pytest.raises(ValidationError):
            ServiceSettings(**SETTINGS, **wrong)
    assert set(DEFAULTS) >= {"uploads", "preferences", "forged-tokens"}


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("testclient", UNKNOWN),
        ("", UNKNOWN),
        ("1.2.3.4.5", UNKNOWN),
        ("x" * 10_000, UNKNOWN),
    ],
)
def test_an_address_is_counted_by_what_one_customer_has(address: str, counted: str) -> None:
    assert grouped(address) == counted


@asynccontextmanager
async def service(**limits: Allowance) -> AsyncIterator[tuple[httpx.AsyncClient, IdentityProvider]]:
    """Serve a small app with its limits over real HTTP."""
    with IdentityProvider(KEY).serving() as provider:
        app = FastAPI()
        app.state.authenticator = Authenticator(provider.jwks_url, issuer=ISSUER, audience=AUDIENCE)
        app.state.rate_limits = RateLimits({name.replace("_", "-"): each for name, each in limits.items()})  # type: ignore[misc]
        install_problems(app)

        @app.post("/tasks")
        async def upload(caller: Annotated[Principal, Depends(require("helper"))]) -> str:
            return caller.sub

        @app.get("/tasks")
        async def show(caller: Caller) -> str:
            return caller.sub

        inner, outer = APIRouter(prefix="/preferences"), APIRouter(prefix="/branches/{branch_id}")

        @inner.post("")
        async def state(branch_id: str, caller: Caller) -> str:
            return caller.sub

        outer.include_router(inner)
        app.include_router(outer)

        async with serving(app) as client:
            yield client, provider


def bearer(**claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEY.sign(**claims)}"}


async def test_over_http_one_too_many_is_429_and_who_may_not_do_it_is_counted_too() -> None:
    async with service(uploads=Allowance(person="3/m")) as (client, _):
        helper = bearer(role="helper")
        statuses = [(await client.post("/tasks", headers=helper)).status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        answer = await client.post("/tasks", headers=helper)
        assert answer.json()["code"] == "too-many-requests"
        assert {"retry-after", "ratelimit", "ratelimit-policy"} <= set(answer.headers)
        assert (await client.get("/tasks", headers=helper)).status_code == 200
        owner = bearer(role="owner")
        statuses = [(await client.post("/tasks", headers=owner)).status_code for _ in range(4)]
        assert statuses == [403, 403, 403, 429]


async def test_an_endpoint_of_a_router_with_a_prefix_is_known_by_its_whole_path() -> None:
    async with service(preferences=Allowance(person="1/m")) as (client, _):
        answers = [await client.post(f"/branches/b{n}/preferences", headers=bearer()) for n in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429]
        assert answers[1].json()["limit"] == "preferences"


@pytest.mark.parametrize(
    "forge",
    [lambda: "rubbish", lambda: KEY.sign(iss="another"), lambda: SigningKey("unknown").sign()],
    ids=["rubbish", "another issuer", "unknown key"],
)
async def test_forged_tokens_are_limited_by_address_and_the_others_behind_it_go_on(
    forge: Callable[[], str],
) -> None:
    async with service(forged_tokens=Allowance(address="4/m")) as (client, provider):
        assert (await client.get("/tasks", headers=bearer())).status_code == 200
        for expected in (401, 401, 401, 401, 429, 429):
            answer = await client.get("/tasks", headers={"Authorization": f"Bearer {forge()}"})
            assert answer.status_code == expected, answer.text
        assert answer.json()["code"] == "too-many-forged-tokens"
        assert answer.headers["retry-after"]
        fetches = provider.fetches["/jwks.json"]
        await client.get("/tasks", headers={"Authorization": f"Bearer {forge()}"})
        assert provider.fetches["/jwks.json"] == fetches, "a forger makes us ask the provider no more"
        assert (await client.get("/tasks", headers=bearer(sub="neighbour"))).status_code == 200


async def test_a_token_that_is_only_over_is_no_forgery() -> None:
    async with service(forged_tokens=Allowance(address="2/m")) as (client, _):
        for _ in range(6):
            answer = await client.get("/tasks", headers=bearer(exp=1))
            assert answer.json()["code"] == "token-expired"
            assert (await client.get("/tasks")).json()["code"] == "token-missing"
