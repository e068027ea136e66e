"""A whole service: its settings decide who is let in, who is cut off, and how much they may do."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from laundry_service.app import make_app
from laundry_service.auth.callers import Caller
from laundry_service.settings import ServiceSettings
from laundry_testing.provider import AUDIENCE, ISSUER, IdentityProvider, SigningKey, reply
from laundry_testing.serving import serving

KEY = SigningKey("k1")


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider(KEY).serving() as provider:
        yield provider


@asynccontextmanager
async def service(provider: IdentityProvider, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    settings = ServiceSettings(
        service_name="tests",
        amqp_url="amqp://nobody:nothing@127.0.0.1:9/",
        jwks_url=provider.jwks_url,
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
        **more,
    )
    app = make_app(settings, title="Tests", version="1", description="")

    @app.api_route("/things", methods=["GET", "POST"])
    async def things(caller: Caller) -> str:
        return caller.sub

    async with serving(app) as client:
        yield client


def bearer(key: SigningKey = KEY, **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {key.sign(**claims)}"}


async def until_status(client: httpx.AsyncClient, status: int, headers: dict[str, str]) -> httpx.Response:
    async with asyncio.timeout(30):
        while (answer := await client.get("/things", headers=headers)).status_code != status:
            await asyncio.sleep(0.02)
    return answer


async def test_the_settings_cut_off_limit_and_bound(provider: IdentityProvider) -> None:
    settings = {
        "deny_list_url": provider.deny_list_url,
        "deny_list_every_s": 0.05,
        "rate_limits": {"other-changes": {"person": "2/m"}},
        "token_max_hours": {"owner": 1},
    }
    async with service(provider, **settings) as client:
        kim = bearer(sub="kim")
        assert (await until_status(client, 200, kim)).json() == "kim"
        assert (await client.get("/readyz")).json()["checks"] == {"deny list": "ok"}
        statuses = [(await client.post("/things", headers=kim)).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        lives_long = bearer(exp=2_000_000_000)
        assert (await client.get("/things", headers=lives_long)).json()["code"] == "token-lives-too-long"
        provider.denied = [{"sub": "kim"}]
        assert (await until_status(client, 401, kim)).json()["code"] == "token-denied"
        assert (await client.get("/things", headers=bearer(sub="lee"))).status_code == 200


async def test_a_withdrawn_key_is_refused_without_a_restart(provider: IdentityProvider) -> None:
    new = SigningKey("k2")
    async with service(provider, jwks_lifespan_s=0.5) as client:
        old = bearer()
        assert (await client.get("/things", headers=old)).status_code == 200
        provider.publish(new)
        assert (await until_status(client, 401, old)).json()["code"] == "token-invalid"
        assert (await client.get("/things", headers=bearer(new))).status_code == 200


async def test_a_service_that_has_never_read_the_deny_list_is_not_ready(provider: IdentityProvider) -> None:
    provider.answer = lambda handler: reply(
        handler, 200 if handler.path == "/jwks.json" else 500, provider.body(handler.path)
    )
    async with service(provider, deny_list_url=provider.deny_list_url) as client:
        assert (await client.get("/readyz")).status_code == 503
        answer = await client.get("/things", headers=bearer())
        assert (answer.status_code, answer.json()["code"]) == (503, "identity-unavailable")
        assert answer.headers["retry-after"]
        provider.answer = None
        await until_status(client, 200, bearer())
        assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize("url", [None, ""])
async def test_without_a_deny_list_there_is_none_to_wait_for(
    provider: IdentityProvider, url: str | None
) -> None:
    async with service(provider, deny_list_url=url) as client:
        assert (await client.get("/things", headers=bearer())).status_code == 200
        assert (await client.get("/readyz")).json() == {"status": "ok", "checks": {}}
