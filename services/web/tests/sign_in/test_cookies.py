"""The session's cookie: whose it is, and what it counts for."""

import asyncio
import base64
import hashlib
import time

import httpx
import pytest
from cryptography.fernet import Fernet

from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import eventually
from web.auth import signing_in
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


async def test_a_refresh_token_that_grew_too_large_costs_no_answer(
    browser: Browser, services: FakeServices, provider: FakeProvider
) -> None:
    await browser.sign_in()
    before = browser.cookie
    provider.rotates, provider.token_bytes = True, 4000
    async with replica(services, provider) as other:
        other.client.cookies = browser.client.cookies
        upload = {"data": {"branch_id": "b1"}, "files": {"photo": ("a.jpg", b"x", "image/jpeg")}}
        sent = {"Idempotency-Key": "k1", **SAME}
        posted = await other.client.post("/api/helper/tasks", headers=sent, **upload)  # type: ignore[arg-type]
        assert (posted.status_code, len(services.uploads)) == (201, 1)
        # The one from before leads to the same session here.
        assert other.cookie == before
        assert (await other.session()).status_code == 200


async def test_a_late_answer_does_not_bring_back_who_has_signed_out(
    browser: Browser, services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.sign_in()
    # Old enough to be renewed with the next answer.
    monkeypatch.setattr(signing_in, "RENEWED_AFTER_S", -1.0)
    assert "set-cookie" in (await browser.client.get("/api/helper/tasks")).headers
    services.requests.clear()
    monkeypatch.setattr(services, "hold_lists", asyncio.Event())
    late = asyncio.create_task(browser.client.get("/api/helper/tasks"))
    await eventually(lambda: services.requests, what="the service is asked")
    out = await browser.client.post("/auth/sign-out", headers=SAME)
    assert out.status_code == 200
    assert services.hold_lists is not None
    services.hold_lists.set()
    answer = await late
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(("age_s", "code"), [(-90, 200), (-86400, 200), (31 * 86400, 401)])
async def test_a_cookie_is_too_old_but_never_too_new(browser: Browser, age_s: int, code: int) -> None:
    await browser.sign_in()
    assert browser.cookie is not None
    sealed = sealed_ago(browser.cookie, age_s)
    said = await browser.client.get("/auth/session", headers={"Cookie": f"laundry={sealed}"})
    assert said.status_code == code
    # Of a replica whose clock is ahead: it is neither cleared nor made again at each request.
    assert ("set-cookie" in said.headers) == (code == 401)


def sealed_ago(cookie: str, age_s: int) -> str:
    """Return a cookie's content as it was sealed so long ago."""
    key = Fernet(base64.urlsafe_b64encode(hashlib.sha256(KEYS.encode()).digest()))
    return key.encrypt_at_time(key.decrypt(cookie), int(time.time()) - age_s).decode()


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
