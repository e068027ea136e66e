"""Sign-in at a certified provider that is not ours: by groups, in every browser, with tokens that change."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from laundry_servers.ports import free_port
from laundry_testing.cable import Cable
from laundry_testing.identity import FileIdentity
from laundry_testing.serving import serving
from web.app import create_app

from . import independent_provider
from .browsers import PHONE, Engine, expect
from .browsers.site import served
from .conftest import KEYS, settings_for
from .fake_provider import FakeProvider
from .fake_services import FakeServices
from .independent_provider import CLIENT, SECRET, IndependentProvider

pytestmark = pytest.mark.asyncio(loop_scope="session")

PEOPLE = {
    "kim": {"name": "Kim", "groups": ["laundry-helpers", "branch-b1", "branch-b2"]},
    "lee": {"name": "Lee", "groups": ["accounting"]},
}


@asynccontextmanager
async def replica(provider: IndependentProvider, pages: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = settings_for("http://127.0.0.1:9", public_url=pages, session_keys=KEYS, **provider.settings)
    async with serving(create_app(settings)) as client:
        client.headers["Host"] = pages.removeprefix("http://")
        yield client


async def sign_in(client: httpx.AsyncClient, who: str) -> httpx.Response:
    """Go the way of a browser, by redirects and the provider's form; return the callback's answer."""
    begun = await client.get("/auth/sign-in")
    async with httpx.AsyncClient(follow_redirects=True) as browser:
        asked = await browser.get(begun.headers["location"])
        answer = await browser.post(asked.url, data={"login": who}, follow_redirects=False)
        while "/auth/callback" not in answer.headers["location"]:
            answer = await browser.get(answer.headers["location"], follow_redirects=False)
    # Where the pages would be.
    return await client.get(httpx.URL(answer.headers["location"]).raw_path.decode())


@pytest.fixture(scope="module")
def pages() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def provider(pages: str) -> AsyncIterator[IndependentProvider]:
    async with independent_provider.running([pages], PEOPLE) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def client(provider: IndependentProvider, pages: str) -> AsyncIterator[httpx.AsyncClient]:
    async with replica(provider, pages) as found:
        yield found


async def test_groups_decide_what_somebody_may_do(client: httpx.AsyncClient, pages: str) -> None:
    assert (await sign_in(client, "kim")).headers["location"] == f"{pages}/"
    said = await client.get("/auth/session")
    assert said.json() == {"sub": "kim", "role": "helper", "branches": ["b1", "b2"], "name": "Kim"}


async def test_who_is_known_there_is_nobody_here_without_a_group(
    client: httpx.AsyncClient, pages: str
) -> None:
    assert (await sign_in(client, "lee")).headers["location"] == f"{pages}/?sign-in=no-role"
    assert (await client.get("/auth/session")).status_code == 401


async def test_its_id_token_is_no_access_token(
    client: httpx.AsyncClient, provider: IndependentProvider
) -> None:
    await sign_in(client, "kim")
    out = await client.post("/auth/sign-out", headers={"Sec-Fetch-Site": "same-origin"})
    address = out.json()["location"]
    assert address.startswith(f"{provider.issuer}/session/end?")
    [id_token] = parse_qs(urlsplit(address).query)["id_token_hint"]
    said = await client.get("/auth/session", headers={"Authorization": f"Bearer {id_token}"})
    assert (said.status_code, said.json()["code"]) == (401, "token-invalid")


@pytest.mark.browser
async def test_a_person_signs_in_and_out_in_a_browser(engine: Engine, services: FakeServices) -> None:
    complaints: list[str] = []
    cable = Cable()
    address = f"http://127.0.0.1:{cable.port}"
    async with independent_provider.running([address], PEOPLE) as provider:

        def make(address: str) -> FastAPI:
            settings = settings_for(services.url, public_url=address, session_keys=KEYS, **provider.settings)
            return create_app(settings)

        async with (
            served(make, cable) as site,
            engine.context(
                site, viewport=PHONE, locale="en-US", dark=False, complaints=complaints
            ) as context,
        ):
            page = await context.new_page()
            await page.goto("/")
            await page.locator(".sign-in a").click()
            await page.locator("input[name=login]").fill("kim")
            await page.locator("button").click()
            await expect(page.get_by_role("heading", name="Photograph the laundry")).to_be_visible()
            await expect(page.get_by_label("Branch")).to_be_visible()
            assert await page.evaluate("location.pathname + location.search") == "/helper"
            await page.get_by_role("button", name="Sign out").click()
            # The provider asks whether to sign out of it, too.
            await expect(page.get_by_role("button", name="Yes, sign me out")).to_be_visible()
            assert await page.evaluate("location.origin") == provider.issuer
    assert complaints == []


@pytest.mark.browser
async def test_a_customer_signs_in_at_the_second_provider_and_is_only_ever_a_customer(
    chromium: Engine, services: FakeServices, identity: FileIdentity
) -> None:
    complaints: list[str] = []
    cable = Cable()
    address = f"http://127.0.0.1:{cable.port}"
    # Who owns branches at work is a customer here.
    people = {"minji": {"name": "민지", "groups": ["laundry-owners", "branch-b1"]}}
    staff = FakeProvider(identity)
    async with (
        independent_provider.running([address], people) as provider,
        serving(staff.app) as listens,
    ):
        staff.url = str(listens.base_url).rstrip("/")
        customers = {
            "trusted_issuers": [
                {
                    "issuer": provider.issuer,
                    "jwks_url": f"{provider.issuer}/jwks",
                    "audience": CLIENT,
                    "subject_prefix": "kakao:",
                    "forced_role": "customer",
                    "id_tokens": True,
                }
            ],
            "customer_oidc_issuer": provider.issuer,
            "customer_oidc_client_id": CLIENT,
            "customer_oidc_client_secret": SECRET,
            "customer_oidc_scopes": "openid profile offline_access",
            "customer_oidc_parameters": {"prompt": "consent"},
        }

        def make(address: str) -> FastAPI:
            known = {**staff.settings, **customers}
            return create_app(settings_for(services.url, public_url=address, session_keys=KEYS, **known))

        async with (
            served(make, cable) as site,
            chromium.context(
                site, viewport=PHONE, locale="ko-KR", dark=False, complaints=complaints
            ) as context,
        ):
            page = await context.new_page()
            await page.goto("/")
            await expect(page.get_by_role("link", name="로그인", exact=True)).to_be_visible()
            await page.get_by_role("link", name="고객으로 로그인").click()
            assert await page.evaluate("location.origin") == provider.issuer
            await page.locator("input[name=login]").fill("minji")
            await page.locator("button").click()
            await expect(page.get_by_role("heading", name="무엇을 좋아하세요?")).to_be_visible()
            said = await page.evaluate("fetch('/auth/session').then((answer) => answer.json())")
            assert said == {"sub": "kakao:minji", "role": "customer", "branches": [], "name": "민지"}
            await page.get_by_role("button", name="사우나", exact=True).click()
            await expect(page.locator(".saved")).to_contain_text("저장했습니다")
            assert services.customers.saved == [{"sauna": 0.6}]
            # The page for owners is none of theirs.
            await page.goto("/owner")
            await expect(page.get_by_role("heading", name="무엇을 좋아하세요?")).to_be_visible()
            await page.get_by_role("button", name="로그아웃").click()
            # At the provider that signed them in, not at the other.
            await expect(page.get_by_role("button", name="Yes, sign me out")).to_be_visible()
            assert await page.evaluate("location.origin") == provider.issuer
    assert (complaints, staff.asked) == ([], [])


async def test_refresh_tokens_that_change_are_followed_by_one_replica_and_by_no_other(pages: str) -> None:
    async with (
        independent_provider.running([pages], PEOPLE, life_s=6, rotates=True) as rotating,
        replica(rotating, pages) as one,
        replica(rotating, pages) as two,
    ):
        await sign_in(one, "kim")
        # From before the changes to come: the answers that brought newer cookies were lost.
        cookie = {"Cookie": f"laundry={one.cookies['laundry']}"}
        renewed = set()
        for _ in range(3):
            await asyncio.sleep(3.3)
            answers = await asyncio.gather(*(one.get("/auth/session", headers=cookie) for _ in range(10)))
            assert {answer.status_code for answer in answers} == {200}
            renewed |= {answer.headers["set-cookie"] for answer in answers}
        assert len(renewed) >= 3
        # The provider takes a used token for stolen, and ends the grant.
        stale = await two.get("/auth/session", headers=cookie)
        assert (stale.status_code, stale.json()["code"]) == (401, "session-ended")
