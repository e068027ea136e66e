"""Sign-in by a browser's requests, without a browser: what the attacks come to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio

from laundry_testing.identity import FileIdentity
from laundry_testing.serving import serving
from web.app import create_app
from web.auth.sealing import Sealer

from .conftest import KEYS, settings_for
from .fake_provider import CLIENT, FakeProvider, Person
from .fake_services import FakeServices

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGES = "http://pages.localhost:8080"
HERE = {"Host": "pages.localhost:8080"}
SAME = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Browser:
    """Keeps cookies, and asks the pages' backend."""

    client: httpx.AsyncClient
    provider: FakeProvider

    async def begin(self, next_path: str = "/helper", **more: str) -> httpx.Response:
        return await self.client.get("/auth/sign-in", params={"next": next_path, **more})

    async def sign_in(self, next_path: str = "/helper") -> httpx.Response:
        """Sign in at the provider; return what the callback answers."""
        return await self.client.get(await self.answer(await self.begin(next_path)))

    async def answer(self, begun: httpx.Response) -> str:
        """Follow to the provider; return where it sends the browser."""
        assert begun.status_code == 303, begun.text
        async with httpx.AsyncClient() as anybody:
            sent_back = await anybody.get(begun.headers["location"])
        back = sent_back.headers["location"]
        assert back.startswith(f"{PAGES}/auth/callback?")
        return str(back.removeprefix(PAGES))

    async def session(self) -> httpx.Response:
        return await self.client.get("/auth/session")

    @property
    def cookie(self) -> str | None:
        return self.client.cookies.get("laundry")


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def services() -> AsyncIterator[FakeServices]:
    """The services, served to all tests here."""
    fake = FakeServices()
    async with serving(fake.app) as client:
        fake.url = str(client.base_url)
        yield fake


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def shared(services: FakeServices, identity: FileIdentity) -> AsyncIterator[Browser]:
    """A provider and the web service, for all tests here."""
    fake = FakeProvider(identity)
    async with serving(fake.app) as client:
        fake.url = str(client.base_url).rstrip("/")
        async with replica(services, fake) as found:
            yield found


@asynccontextmanager
async def replica(services: FakeServices, provider: FakeProvider, **changes: Any) -> AsyncIterator[Browser]:
    """The web service, and a browser that looks at it."""
    settings = settings_for(
        services.url, **{"public_url": PAGES, "session_keys": KEYS} | provider.settings | changes
    )
    async with (
        serving(create_app(settings)) as client,
        httpx.AsyncClient(base_url=client.base_url, headers=HERE, timeout=30) as browser,
    ):
        yield Browser(browser, provider)


@pytest.fixture
def provider(shared: Browser) -> FakeProvider:
    """The provider, as if nobody had ever signed in there."""
    shared.provider.reset()
    return shared.provider


@pytest_asyncio.fixture(loop_scope="session")
async def browser(shared: Browser, provider: FakeProvider, services: FakeServices) -> AsyncIterator[Browser]:
    """A browser without cookies."""
    services.uploads.clear()
    async with httpx.AsyncClient(base_url=shared.client.base_url, headers=HERE, timeout=30) as client:
        yield Browser(client, provider)


def why(response: httpx.Response) -> str:
    """Return what a sign-in that came to nothing tells the start page."""
    assert response.status_code == 303
    address = urlsplit(response.headers["location"])
    assert f"{address.scheme}://{address.netloc}" == PAGES
    return parse_qs(address.query)["sign-in"][0]


async def test_a_person_signs_in_and_the_services_get_a_token_that_the_browser_never_sees(
    browser: Browser, services: FakeServices
) -> None:
    assert (await browser.session()).status_code == 401
    answer = await browser.sign_in("/helper?view=all")
    assert answer.headers["location"] == f"{PAGES}/helper?view=all"
    said = await browser.session()
    assert said.json() == {"sub": "kim", "role": "helper", "branches": ["b1"], "name": "Kim"}
    assert said.headers["cache-control"] == "no-store"
    listed = await browser.client.get("/api/helper/tasks", headers={"X-Signed-In-As": "kim"})
    assert listed.status_code == 200
    [asked] = browser.provider.asked
    assert asked["code_challenge_method"] == "S256"
    assert asked["scope"].split()[0] == "openid"
    for each in (answer, said, listed):
        assert "eyJ" not in each.text
        assert "eyJ" not in str(each.headers)


async def test_whoever_came_by_another_address_begins_at_the_public_one(browser: Browser) -> None:
    by_number = {"Host": "127.0.0.1:8080"}
    moved = await browser.client.get("/auth/sign-in?next=/owner", headers=by_number)
    assert moved.headers["location"] == f"{PAGES}/auth/sign-in?next=%2Fowner&moved=1"
    assert "set-cookie" not in moved.headers
    # A proxy that names another host is followed once.
    begun = await browser.client.get("/auth/sign-in?next=/owner&moved=1", headers=by_number)
    assert begun.headers["location"].startswith(browser.provider.url)


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


@pytest.mark.parametrize("changed", ["state", "code", "iss", "no cookie", "an old cookie"])
async def test_an_answer_that_is_not_to_this_browsers_question_signs_nobody_in(
    browser: Browser, changed: str
) -> None:
    address = urlsplit(await browser.answer(await browser.begin()))
    query = {name: values[0] for name, values in parse_qs(address.query).items()}
    if changed == "no cookie":
        browser.client.cookies.clear()
    elif changed == "an old cookie":
        # Another tab has begun a sign-in since.
        await browser.begin()
    else:
        query[changed] = "https://evil.example"
    outcome = why(await browser.client.get("/auth/callback", params=query))
    assert outcome == ("no-grant" if changed == "code" else "refused")
    assert browser.cookie is None


async def test_a_callback_is_good_once(browser: Browser) -> None:
    back = await browser.answer(await browser.begin())
    kept = dict(browser.client.cookies)
    assert (await browser.client.get(back)).headers["location"] == f"{PAGES}/helper"
    assert why(await browser.client.get(back)) == "refused"
    # Nor is the code, for somebody who has the cookie, too.
    browser.client.cookies.clear()
    assert why(
        await browser.client.get(back, headers={"Cookie": f"laundry-sign-in={kept['laundry-sign-in']}"})
    ) == ("no-grant")
    assert browser.cookie is None


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"aud": "another-client"},
        {"aud": [CLIENT, "x"], "azp": "x"},
        {"iss": "https://x.example"},
    ],
)
async def test_an_id_token_that_is_not_for_this_sign_in_is_refused(
    browser: Browser, claims: dict[str, Any]
) -> None:
    browser.provider.claims = claims
    assert why(await browser.sign_in()) == "unfit"
    assert browser.cookie is None


async def test_an_id_token_is_no_access_token(browser: Browser) -> None:
    browser.provider.claims = {"role": "operator", "branches": []}
    token = browser.provider.id_token(Person())
    said = await browser.client.get("/auth/session", headers={"Authorization": f"Bearer {token}"})
    assert said.json()["code"] == "token-invalid"
    browser.provider.gives_id_token_as_access_token = True
    assert why(await browser.sign_in()) == "unfit"


@pytest.mark.parametrize("clock_s", [-310, 310])
async def test_a_provider_whose_clock_is_five_minutes_off_is_named(browser: Browser, clock_s: int) -> None:
    browser.provider.clock_s = clock_s
    assert why(await browser.sign_in()) == "clock"
    # Somebody who is signed in stays so.
    browser.provider.clock_s = 0
    browser.provider.life_s = 40
    await browser.sign_in()
    browser.provider.clock_s = clock_s
    browser.provider.life_s = 300
    for _ in range(2):
        assert (await browser.session()).status_code in {200, 503}
    assert browser.cookie


async def test_an_account_without_a_role_has_no_entry(browser: Browser) -> None:
    browser.provider.person.role = None
    assert why(await browser.sign_in()) == "no-role"
    assert browser.cookie is None
    # Asked again, it may be another account.
    assert (await browser.begin(prompt="login")).status_code == 303
    assert (await browser.begin(prompt="none")).status_code == 303
    await browser.answer(await browser.begin(prompt="login", lang="ko"))
    assert browser.provider.asked[-1]["prompt"] == "login"
    assert browser.provider.asked[-1]["ui_locales"] == "ko"


@pytest.mark.parametrize(
    "asked",
    [
        "https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "/ /evil.example",
        "javascript:alert(1)", "/\t/evil.example", "/\r\nSet-Cookie: a=b", "helper", "", "/" + "x" * 600,
    ],
)  # fmt: skip
async def test_next_leads_nowhere_else(browser: Browser, asked: str) -> None:
    answer = await browser.sign_in(asked)
    assert answer.headers["location"] == f"{PAGES}/"


async def test_a_provider_that_is_away_signs_nobody_out(
    browser: Browser, services: FakeServices, provider: FakeProvider
) -> None:
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
    provider.life_s = 2
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


async def test_signing_out_works_while_the_provider_is_away(browser: Browser, provider: FakeProvider) -> None:
    await browser.sign_in()
    provider.away = True
    out = await browser.client.post("/auth/sign-out", headers=SAME)
    assert out.status_code == 200
    assert browser.cookie is None


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


async def test_nobody_signs_in_where_no_provider_is_set_up(site: httpx.AsyncClient) -> None:
    said = await site.get("/auth/session")
    assert (said.status_code, said.json()["providers"]) == (401, [])
    assert (await site.get("/auth/sign-in")).status_code == 404
    assert (await site.get("/auth/callback")).status_code in {303, 404}
