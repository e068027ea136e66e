"""Sign-in by a browser's requests, without a browser: what the attacks come to."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from ..fake_provider import CLIENT, FakeProvider, Person
from ..fake_services import FakeServices
from .conftest import PAGES, Browser, replica, why

pytestmark = pytest.mark.asyncio(loop_scope="session")


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


@pytest.mark.parametrize("old", ["answer", "refusal"])
async def test_an_old_tabs_answer_does_not_end_the_sign_in_of_the_newer(browser: Browser, old: str) -> None:
    first = await browser.answer(await browser.begin())
    newer = await browser.answer(await browser.begin("/owner"))
    if old == "refusal":
        state = parse_qs(urlsplit(first).query)["state"][0]
        first = f"/auth/callback?error=access_denied&state={state}"
    assert why(await browser.client.get(first)) == ("declined" if old == "refusal" else "refused")
    assert (await browser.client.get(newer)).headers["location"] == f"{PAGES}/owner"
    assert browser.cookie is not None


async def test_a_sign_in_that_was_refused_cannot_be_answered_later(browser: Browser) -> None:
    back = await browser.answer(await browser.begin())
    state = parse_qs(urlsplit(back).query)["state"][0]
    assert why(await browser.client.get(f"/auth/callback?error=access_denied&state={state}")) == "declined"
    assert why(await browser.client.get(back)) == "refused"


@pytest.mark.parametrize(
    ("ours", "sent"),
    [(None, "login"), ("consent", "consent login"), ("select_account consent", "select_account consent")],
)
async def test_being_asked_anew_drops_no_prompt_of_the_settings(
    services: FakeServices, provider: FakeProvider, ours: str | None, sent: str
) -> None:
    parameters = {} if ours is None else {"prompt": ours}
    async with replica(services, provider, oidc_parameters=parameters) as browser:
        await browser.answer(await browser.begin(prompt="login"))
        assert provider.asked[-1]["prompt"] == sent
        await browser.answer(await browser.begin())
        assert provider.asked[-1].get("prompt") == ours


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


async def test_nobody_signs_in_where_no_provider_is_set_up(site: httpx.AsyncClient) -> None:
    said = await site.get("/auth/session")
    assert (said.status_code, said.json()["providers"]) == (401, [])
    assert (await site.get("/auth/sign-in")).status_code == 404
    assert (await site.get("/auth/callback")).status_code in {303, 404}
