"""The session's cookie: whose it is, and what it counts for."""

import httpx
import pytest

from laundry_testing.identity import FileIdentity
from web.auth.sealing import Sealer

from ..conftest import KEYS
from ..fake_provider import FakeProvider, Person
from ..fake_services import FakeServices
from .conftest import PAGES, SAME, Browser, replica, why

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_cookies_are_for_this_host_alone(browser: Browser) -> None:
    begun = await browser.begin()
    answer = await browser.client.get(await browser.answer(begun))
    [transaction] = begun.headers.get_list("set-cookie")
    session, cleared = answer.headers.get_list("set-cookie")
    assert "; Path=/; HttpOnly; SameSite=Lax; Max-Age=600" in transaction
    assert "; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000" in session
    assert "Domain" not in transaction + session
    assert "Max-Age=0" in cleared
    assert len(session) < 1000


async def test_behind_tls_a_cookie_cannot_be_set_by_a_sibling_or_read_without_it(
    services: FakeServices, provider: FakeProvider
) -> None:
    async with replica(services, provider, public_url="https://laundry.example") as browser:
        begun = await browser.begin(moved="1")
        [cookie] = begun.headers.get_list("set-cookie")
        assert begun.headers["strict-transport-security"] == "max-age=31536000"
    assert cookie.startswith("__Host-laundry-sign-in=")
    assert cookie.endswith("; Secure")


@pytest.mark.parametrize(
    "cookie", ["x" * 9000, "laundry", Sealer("k" * 32).seal("session", {"p": "staff"}), "%00"]
)
async def test_a_cookie_that_is_not_by_us_is_nobodys(browser: Browser, cookie: str) -> None:
    said = await browser.client.get("/auth/session", headers={"Cookie": f"laundry={cookie}"})
    assert (said.status_code, said.json()["code"]) == (401, "session-missing")
    # It is cleared, so that the browser does not send it for ever.
    assert "Max-Age=0" in said.headers["set-cookie"]


async def test_a_transactions_cookie_is_no_session(browser: Browser) -> None:
    await browser.begin()
    sealed = browser.client.cookies["laundry-sign-in"]
    said = await browser.client.get("/auth/session", headers={"Cookie": f"laundry={sealed}"})
    assert said.status_code == 401


async def test_a_refresh_token_that_no_cookie_holds_is_said_rather_than_lost(browser: Browser) -> None:
    browser.provider.token_bytes = 4000
    assert why(await browser.sign_in()) == "unfit"
    assert browser.cookie is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 201),
        ({"Origin": PAGES}, 201),
        # Another port of this host: the cookie is sent, and it is another origin.
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://pages.localhost:9090"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": PAGES}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Origin": "http://pages.localhost:9090"}, 403),
        ({"Origin": "null"}, 403),
        ({}, 403),
    ],
)
async def test_a_cookie_counts_only_for_what_these_pages_ask(
    browser: Browser, services: FakeServices, headers: dict[str, str], status: int
) -> None:
    await browser.sign_in()
    sent = {"Idempotency-Key": "k1", **headers}
    upload = {"data": {"branch_id": "b1"}, "files": {"photo": ("a.jpg", b"x", "image/jpeg")}}
    posted = await browser.client.post("/api/helper/tasks", headers=sent, **upload)  # type: ignore[arg-type]
    assert posted.status_code == status
    assert len(services.uploads) == (status == 201)
    out = await browser.client.post("/auth/sign-out", headers=headers)
    assert out.status_code == (200 if status == 201 else 403)
    assert (await browser.session()).status_code == (401 if status == 201 else 200)


async def test_bearer_tokens_pass_as_they_are_and_beat_the_cookie(
    browser: Browser, identity: FileIdentity, services: FakeServices
) -> None:
    await browser.sign_in()
    owner = identity.bearer("owner", "b2", sub="lee")
    said = await browser.client.get("/auth/session", headers=owner)
    assert said.json() == {"sub": "lee", "role": "owner", "branches": ["b2"], "name": "lee"}
    task = services.add_task("read", labels=[("hat", 0.9)])
    confirmed = await browser.client.post(
        f"/api/helper/tasks/{task['id']}/confirmation", json={"labels": []}, headers=owner
    )
    assert confirmed.status_code == 200


async def test_what_a_page_of_one_person_asks_is_not_done_as_another(
    browser: Browser, services: FakeServices
) -> None:
    browser.provider.person = Person(sub="lee")
    await browser.sign_in()
    upload = {"data": {"branch_id": "b1"}, "files": {"photo": ("a.jpg", b"x", "image/jpeg")}}
    sent = {"Idempotency-Key": "k1", "X-Signed-In-As": "kim", **SAME}
    posted = await browser.client.post("/api/helper/tasks", headers=sent, **upload)  # type: ignore[arg-type]
    assert (posted.status_code, posted.json()["code"]) == (401, "session-changed")
    assert services.uploads == []


async def test_keys_are_replaced_without_signing_anybody_out(
    services: FakeServices, provider: FakeProvider, browser: Browser
) -> None:
    await browser.sign_in()
    async with replica(services, provider, session_keys=f"{'n' * 32},{KEYS}") as renewed:
        renewed.client.cookies = httpx.Cookies(browser.client.cookies)
        before = renewed.cookie
        assert (await renewed.session()).status_code == 200
        assert renewed.cookie != before
    async with replica(services, provider, session_keys="n" * 32) as alone:
        alone.client.cookies = renewed.client.cookies
        assert (await alone.session()).status_code == 200
