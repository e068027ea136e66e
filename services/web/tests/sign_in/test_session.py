"""Being signed in: what ends it, and what does not."""

from urllib.parse import parse_qs, urlsplit

import pytest

from web.auth import sessions

from ..fake_provider import FakeProvider
from ..fake_services import FakeServices
from .conftest import PAGES, SAME, Browser, replica, why

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_provider_that_is_away_signs_nobody_out(
    browser: Browser, services: FakeServices, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "PAUSE_S", 600.0)
    await browser.sign_in()
    provider.away = True
    # What is in memory is good for its time.
    assert (await browser.session()).status_code == 200
    async with replica(services, provider) as other:
        other.client.cookies = browser.client.cookies
        said = await other.session()
        assert (said.status_code, said.json()["code"]) == (503, "identity-unavailable")
        assert said.headers["retry-after"] == "2"
        assert "set-cookie" not in said.headers
        assert why(await other.begin()) == "away"
        listed = await other.client.get("/api/helper/tasks")
        assert listed.status_code == 503
        provider.away = False
        # Asked again after a pause, for all together.
        assert (await other.session()).status_code == 503
    async with replica(services, provider) as third:
        third.client.cookies = browser.client.cookies
        assert (await third.session()).status_code == 200


async def test_only_a_grant_that_ended_signs_out(browser: Browser, provider: FakeProvider) -> None:
    provider.life_s = 6
    await browser.sign_in()
    provider.person.branches = ("b1", "b2")
    # Claims are those of now, not of the sign-in.
    assert (await browser.session()).json()["branches"] in (["b1"], ["b1", "b2"])
    provider.end(provider.person)
    while (said := await browser.session()).status_code == 200:
        pass
    assert (said.status_code, said.json()["code"]) == (401, "session-ended")
    assert said.json()["providers"] == ["staff"]
    assert "Max-Age=0" in said.headers["set-cookie"]


async def test_signing_out_ends_the_grant_and_the_provider_is_told(
    browser: Browser, provider: FakeProvider
) -> None:
    await browser.sign_in()
    stolen = browser.cookie
    out = await browser.client.post("/auth/sign-out", headers=SAME)
    address = urlsplit(out.json()["location"])
    query = parse_qs(address.query)
    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{provider.url}/sign-out"
    assert query["post_logout_redirect_uri"] == [f"{PAGES}/"]
    assert query["id_token_hint"]
    assert len(provider.revoked) == 1
    assert browser.cookie is None
    # A second tab signs out, too.
    again = await browser.client.post("/auth/sign-out", headers=SAME)
    assert (again.status_code, again.json()) == (200, {"location": None})
    said = await browser.client.get("/auth/session", headers={"Cookie": f"laundry={stolen}"})
    assert said.status_code == 401


async def test_signing_out_at_a_replica_without_a_token_is_not_asked_about_at_the_provider(
    browser: Browser, services: FakeServices, provider: FakeProvider
) -> None:
    await browser.sign_in()
    provider.rotates = True
    async with replica(services, provider) as other:
        other.client.cookies = browser.client.cookies
        out = await other.client.post("/auth/sign-out", headers=SAME)
    assert parse_qs(urlsplit(out.json()["location"]).query)["id_token_hint"]
    assert all(grant.revoked for grant in provider.grants.values())


async def test_signing_out_works_while_the_provider_is_away(browser: Browser, provider: FakeProvider) -> None:
    await browser.sign_in()
    provider.away = True
    out = await browser.client.post("/auth/sign-out", headers=SAME)
    assert out.status_code == 200
    assert browser.cookie is None
