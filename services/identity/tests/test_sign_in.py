"""Signing in at the OpenID provider: the whole way, and what is refused on it."""

import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from identity.app import create_app
from laundry_service.auth.authenticator import Authenticator
from laundry_service.auth.rsa_keys import new_key, pems
from laundry_testing.messaging import eventually
from laundry_testing.serving import serving

from .browser import Browser, SignIn, returned
from .conftest import PASSWORD, MakeSettings, Provider, is_ready

OTHER_PASSWORD = "indigo-ink-on-paper"
WRONG = "not-the-password"
AUTHORIZE = "/identity/o/authorize"


def query(provider: Provider, sign_in: SignIn, **changes: str | None) -> dict[str, str]:
    return sign_in.query(provider.settings.oidc_client_id, provider.settings.pages[0], **changes)


async def test_somebody_signs_in_and_every_service_takes_the_token(provider: Provider) -> None:
    person = await provider.account("owner", "b1", "b2")
    async with provider.browser() as browser:
        tokens = await provider.signed_in(browser, person.email)
    claims = provider.claims(tokens["access_token"])
    assert claims["sub"] == str(person.id)
    assert (claims["role"], claims["branches"]) == ("owner", ["b1", "b2"])
    assert claims["exp"] - claims["iat"] <= 300
    assert tokens["expires_in"] == 300
    assert provider.claims(tokens["id_token"])["name"] == "김민지"
    # As another service is set up: with the addresses that it reaches itself.
    metadata = (await provider.http.get("/.well-known/openid-configuration")).json()
    authenticator = Authenticator(
        metadata["jwks_uri"], issuer=metadata["issuer"], audience=provider.settings.jwt_audience
    )
    principal = await authenticator.check(tokens["access_token"])
    assert (principal.sub, principal.role) == (person.sub, "owner")
    assert (await provider.asks(tokens["access_token"])).status_code == 200


async def test_an_id_token_opens_nothing(provider: Provider) -> None:
    person = await provider.account("operator")
    async with provider.browser() as browser:
        tokens = await provider.signed_in(browser, person.email)
    answer = await provider.asks(tokens["id_token"])
    assert (answer.status_code, answer.json()["code"]) == (401, "token-invalid")


async def test_servers_are_told_the_address_they_asked_and_browsers_the_public_one(
    provider: Provider,
) -> None:
    internal = (await provider.http.get("/.well-known/openid-configuration")).json()
    issuer, here = provider.settings.issuer, str(provider.http.base_url).rstrip("/")
    assert internal["issuer"] == issuer
    for name in ("authorization_endpoint", "end_session_endpoint"):
        assert internal[name].startswith(f"{issuer}/")
    for name in ("token_endpoint", "jwks_uri", "revocation_endpoint", "userinfo_endpoint"):
        assert internal[name].startswith(f"{here}/")
    assert "device_authorization_endpoint" not in internal
    assert internal["response_types_supported"] == ["code"]
    async with provider.browser() as browser:
        public = (await browser.open("/.well-known/openid-configuration")).json()
    assert all(
        str(value).startswith(f"{issuer}/") for name, value in public.items() if name.endswith("_endpoint")
    )


async def test_nobody_signs_in_without_pkce(provider: Provider) -> None:
    person = await provider.account("helper", "b1")
    without: list[dict[str, str | None]] = [{"code_challenge": None}, {"code_challenge_method": "plain"}]
    async with provider.browser() as browser:
        await browser.sign_in(person.email, PASSWORD)
        for changes in without:
            page = await browser.open(AUTHORIZE, **query(provider, SignIn(), **changes))
            # Refused here, or told to the client as an error; never a code.
            assert "code=" not in page.headers.get("location", "")
            assert page.status_code == 400 or "error=" in page.headers["location"]


async def test_a_sign_in_leads_back_to_the_pages_only(provider: Provider) -> None:
    person = await provider.account("helper", "b1")
    async with provider.browser() as browser:
        await browser.sign_in(person.email, PASSWORD)
        for redirect_uri in (
            "http://evil.test/auth/callback",
            "http://pages.test.evil.test/auth/callback",
            "http://pages.test/auth/callback/../elsewhere",
            "http://pages.test@evil.test/auth/callback",
            "javascript:alert(1)",
            None,
        ):
            page = await browser.open(AUTHORIZE, **query(provider, SignIn(), redirect_uri=redirect_uri))
            assert page.status_code == 400, redirect_uri
            assert "location" not in page.headers
            assert "로그인 요청이 올바르지 않습니다" in page.text


async def code_for(provider: Provider, browser: Browser, sign_in: SignIn, email: str) -> str:
    page = await browser.open(AUTHORIZE, **query(provider, sign_in))
    if page.status_code == 200:
        page = await browser.submit(page, login=email, password=PASSWORD)
    return returned(page)["code"]


async def test_a_code_is_good_once_for_who_asked_for_it(provider: Provider) -> None:
    person = await provider.account("helper", "b1")
    sign_in = SignIn()
    async with provider.browser() as browser:
        for changes in (
            {"code_verifier": SignIn().verifier},
            {"code_verifier": ""},
            {"redirect_uri": "http://pages.test/elsewhere"},
        ):
            code = await code_for(provider, browser, sign_in, person.email)
            answer = await provider.backend.exchange(code, sign_in, **changes)
            assert (answer.status_code, answer.json()["error"]) in {
                (400, "invalid_grant"),
                (400, "invalid_request"),
                (400, "mismatching_redirect_uri"),
            }, changes
        code = await code_for(provider, browser, sign_in, person.email)
        tokens = (await provider.backend.exchange(code, sign_in)).json()
        again = await provider.backend.exchange(code, sign_in)
        assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    # Somebody has seen the code: what it gave is withdrawn.
    refreshed = await provider.backend.refresh(tokens)
    assert (refreshed.status_code, refreshed.json()["error"]) == (400, "invalid_grant")


async def test_a_client_with_another_secret_gets_nothing(provider: Provider) -> None:
    person = await provider.account("helper", "b1")
    sign_in = SignIn()
    async with provider.browser() as browser:
        code = await code_for(provider, browser, sign_in, person.email)
    provider.backend.http.auth = (provider.settings.oidc_client_id, "guessed")
    answer = await provider.backend.exchange(code, sign_in)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_a_refresh_says_what_somebody_may_do_now(provider: Provider) -> None:
    from identity.people.models import Branch

    person = await provider.account("helper", "b1")
    async with provider.browser() as browser:
        tokens = await provider.signed_in(browser, person.email)

    def add() -> None:
        person.branches.add(Branch.objects.create(id="b2", name_ko="b2", name_en="b2"))

    await provider.in_database(add)
    refreshed = (await provider.backend.refresh(tokens)).json()
    assert provider.claims(refreshed["access_token"])["branches"] == ["b1", "b2"]
    # The same for 30 days: a phone that loses an answer on the way stays signed in.
    assert refreshed["refresh_token"] == tokens["refresh_token"]
    assert 29 * 86400 < refreshed["refresh_expires_in"] <= 30 * 86400


async def test_who_has_no_right_any_more_gets_no_token(provider: Provider) -> None:
    from identity.people.models import Person

    changes: list[dict[str, Any]] = [{"is_active": False}, {"role": None}]
    for change in changes:
        person = await provider.account("helper", "b1")
        async with provider.browser() as browser:
            tokens = await provider.signed_in(browser, person.email)

        def take(id_: Any = person.id, change: dict[str, Any] = change) -> None:
            Person.objects.filter(id=id_).update(**change)

        await provider.in_database(take)
        refreshed = await provider.backend.refresh(tokens)
        assert (refreshed.status_code, refreshed.json()["error"]) == (400, "invalid_grant")


async def test_five_wrong_passwords_lock_one_account_for_a_while_and_no_other(provider: Provider) -> None:
    person = await provider.account("helper", "b1")
    other = await provider.account("helper", "b1", name="이서준")
    for _ in range(5):
        async with provider.browser() as stranger:
            page = await stranger.sign_in(person.email, WRONG)
            assert page.status_code == 200
    async with provider.browser() as browser:
        page = await browser.sign_in(person.email, PASSWORD)
        assert page.status_code == 200 and 'role="alert"' in page.text
        page = await browser.sign_in(other.email, PASSWORD)
        assert page.headers["location"] == provider.settings.pages[0]


async def test_nobody_learns_who_has_an_account(provider: Provider, mail_folder: Path) -> None:
    person = await provider.account("helper", "b1")
    before = set(mail_folder.glob("*"))
    said = []
    for email in (person.email, "nobody@example.com"):
        async with provider.browser() as browser:
            page = await browser.sign_in(email, WRONG)
            wrong = re.sub(r'value="[^"]*"', "", page.text)
            page = await browser.open("/accounts/password/reset/")
            answer = await browser.submit(page, email=email)
            said.append((wrong, answer.url.path, re.sub(r'value="[^"]*"', "", answer.text)))
    assert said[0] == said[1]
    mails = [file.read_text() for file in set(mail_folder.glob("*")) - before]
    assert not [text for text in mails if "nobody@example.com" in text]


async def test_a_forgotten_password_is_replaced_by_mail_once(provider: Provider, mail_folder: Path) -> None:
    person = await provider.account("owner", "b1")
    async with provider.browser() as phone:
        tokens = await provider.signed_in(phone, person.email)
    link = await reset_link(provider, mail_folder, person.email)
    async with provider.browser() as browser:
        page = await browser.open(link)
        refused = await browser.submit(page, password1="12345678", password2="12345678")
        assert 'role="alert"' in refused.text
        done = await browser.submit(refused, password1=OTHER_PASSWORD, password2=OTHER_PASSWORD)
        assert done.status_code == 200 and "password" not in done.text.lower().partition("<main")[2]
        page = await browser.sign_in(person.email, OTHER_PASSWORD)
        assert page.headers["location"] == provider.settings.pages[0]
    # Whoever had the old password is out, on every phone.
    refreshed = await provider.backend.refresh(tokens)
    assert (refreshed.status_code, refreshed.json()["error"]) == (400, "invalid_grant")
    async with provider.browser() as stranger:
        again = await stranger.open(link)
        assert "password1" not in again.text


async def reset_link(provider: Provider, mail_folder: Path, email: str) -> str:
    async with provider.browser() as browser:
        # A forged Host must not end in the mail.
        browser.http.headers["X-Forwarded-Host"] = "evil.test"
        page = await browser.open("/accounts/password/reset/")
        await browser.submit(page, email=email)

    def arrived() -> str | None:
        for file in mail_folder.glob("*"):
            text = file.read_text()
            if f"To: {email}" in text and (
                found := re.search(r"http\S+/accounts/password/reset/key/\S+", text)
            ):
                return found[0]
        return None

    link: str = await eventually(arrived, what="the mail")
    assert link.startswith(f"{provider.settings.issuer}/"), link
    return link


async def test_signing_out_ends_this_sign_in_and_no_other(provider: Provider) -> None:
    person = await provider.account("helper", "b1")
    pages = provider.settings.pages[0]
    async with provider.browser() as phone, provider.browser() as tablet:
        here, there = [await provider.signed_in(each, person.email) for each in (phone, tablet)]
        out = await phone.open(
            "/identity/o/logout",
            id_token_hint=here["id_token"],
            client_id=provider.settings.oidc_client_id,
            post_logout_redirect_uri=f"{pages}/",
            state="s1",
        )
        assert out.headers["location"] == f"{pages}/?state=s1"
        page = await phone.open(AUTHORIZE, **query(provider, SignIn()))
        assert "password" in page.text, "still signed in at the provider"
    assert (await provider.backend.refresh(there)).status_code == 200
    revoked = await provider.backend.http.post(
        "/identity/o/api/revoke", data={"token": here["refresh_token"], "token_type_hint": "refresh_token"}
    )
    assert revoked.status_code == 200
    assert (await provider.backend.refresh(here)).json()["error"] == "invalid_grant"
    assert (await provider.backend.refresh(there)).status_code == 200


async def test_signing_out_leads_nowhere_else(provider: Provider) -> None:
    person = await provider.account("helper", "b1")
    async with provider.browser() as browser:
        tokens = await provider.signed_in(browser, person.email)
        out = await browser.open(
            "/identity/o/logout",
            id_token_hint=tokens["id_token"],
            post_logout_redirect_uri="http://evil.test/",
        )
    assert out.status_code == 400
    assert "location" not in out.headers


async def test_a_key_that_is_replaced_is_published_until_it_is_withdrawn(provider: Provider) -> None:
    from django.test import override_settings

    person = await provider.account("helper", "b1")
    old = pems(provider.settings.signing_keys.get_secret_value())[0]
    new = pems(new_key())[0]
    async with provider.browser() as browser:
        before = await provider.signed_in(browser, person.email)
    with override_settings(IDP_OIDC_PRIVATE_KEYS=[{"pem": new}, {"pem": old}]):
        jwks = (await provider.http.get("/.well-known/jwks.json")).json()["keys"]
        assert len(jwks) == 2
        assert all("d" not in key for key in jwks), "a private half was published"
        after = (await provider.backend.refresh(before)).json()
        for tokens in (before, after):
            assert (await provider.asks(tokens["access_token"])).status_code == 200
    with override_settings(IDP_OIDC_PRIVATE_KEYS=[{"pem": new}]):
        assert len((await provider.http.get("/.well-known/jwks.json")).json()["keys"]) == 1


async def test_equipment_gets_a_token_of_its_own_until_it_is_revoked(provider: Provider) -> None:
    await provider.branch("b1")
    body = {"equipment_id": "washer-7", "branch_id": "b1"}
    answer = await provider.http.post("/equipment-credentials", json=body, headers=provider.operator)
    made = answer.json()
    login = (made["client_id"], made["client_secret"])

    async def asks() -> httpx.Response:
        return await provider.http.post(
            "/identity/o/api/token", data={"grant_type": "client_credentials"}, auth=login
        )

    given = (await asks()).json()
    claims = provider.claims(given["access_token"])
    assert (claims["sub"], claims["role"], claims["branches"]) == ("washer-7", "device", ["b1"])
    assert given["expires_in"] == 3600
    assert claims["exp"] == pytest.approx(datetime.now(UTC).timestamp() + 3600, abs=60)
    # Its token is good, and opens nothing that is for people.
    assert (await provider.asks(given["access_token"])).json()["code"] == "role-forbidden"
    await provider.http.delete(f"/equipment-credentials/{made['id']}", headers=provider.operator)
    refused = await asks()
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


async def test_a_machine_cannot_sign_people_in_and_a_web_client_is_no_machine(provider: Provider) -> None:
    answer = await provider.backend.ask(grant_type="client_credentials")
    assert answer.status_code == 400
    answer = await provider.backend.ask(grant_type="password", username="a", password="b")
    assert answer.status_code == 400


async def test_what_nobody_needs_is_not_there(provider: Provider) -> None:
    person = await provider.account("operator")
    async with provider.browser("en") as browser:
        await browser.sign_in(person.email, PASSWORD)
        for path in (
            "/identity/o/device",
            "/identity/o/api/device/code",
            "/identity/o/api/introspect",
            "/accounts/email/",
            "/nowhere",
        ):
            page = await browser.open(path)
            assert page.status_code == 404, path
            assert "There is no such page" in page.text


async def test_nobody_signs_up(provider: Provider) -> None:
    from identity.people.models import Person

    async with provider.browser() as browser:
        page = await browser.open("/accounts/signup/")
        assert "password1" not in page.text
        page = await browser.open("/accounts/login/")
        assert "회원가입" not in page.text and "signup" not in page.text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token is not None
        form = {"csrfmiddlewaretoken": token[1], "email": "new@example.com", "password1": PASSWORD}
        await browser.http.post("/accounts/signup/", data=form, headers={"Origin": browser.issuer})
    assert not await provider.in_database(lambda: Person.objects.filter(email="new@example.com").exists())


async def test_a_form_from_elsewhere_is_refused(provider: Provider) -> None:
    person = await provider.account("helper", "b1")
    async with provider.browser() as browser:
        page = await browser.open("/accounts/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token is not None
        form = {"csrfmiddlewaretoken": token[1], "login": person.email, "password": PASSWORD}
        answer = await browser.http.post(
            "/accounts/login/", data=form, headers={"Origin": "http://identity.test:8081"}
        )
    assert answer.status_code == 403
    assert "페이지가 오래되었습니다" in answer.text


async def test_operators_look_into_the_admin_pages_and_change_nothing(provider: Provider) -> None:
    operator = await provider.account("operator")
    owner = await provider.account("owner", "b1")
    async with provider.browser("en") as browser:
        await browser.sign_in(owner.email, PASSWORD)
        page = await browser.open("/admin/people/person/")
        assert page.status_code == 403
    async with provider.browser("en") as browser:
        await browser.sign_in(operator.email, PASSWORD)
        page = await browser.open("/admin/people/person/")
        assert page.status_code == 200 and owner.email in page.text
        page = await browser.open(f"/admin/people/person/{owner.id}/change/")
        assert page.status_code == 200
        assert "argon2" not in page.text and 'name="_save"' not in page.text
        for path in ("add/", f"{owner.id}/delete/"):
            assert (await browser.open(f"/admin/people/person/{path}")).status_code == 403


async def test_a_password_is_kept_as_argon2_and_a_client_s_secret_as_a_hash(provider: Provider) -> None:
    from allauth.idp.oidc.models import Client

    person = await provider.account("helper", "b1")
    assert person.password.startswith("argon2$argon2id$")
    secret = provider.settings.oidc_client_secret.get_secret_value()
    stored = await provider.in_database(lambda: Client.objects.get(id=provider.settings.oidc_client_id))
    assert secret not in stored.secret and stored.check_secret(secret)


async def test_the_first_operator_is_made_once_and_in_the_audit(make_settings: MakeSettings) -> None:
    given = {"first_operator": "First@Example.com", "first_operator_password": PASSWORD}
    settings = make_settings(**given)
    for _ in range(2):
        async with serving(create_app(settings)) as http:
            await eventually(partial(is_ready, http), what="the service's readiness")
            async with Browser(http.base_url, settings.issuer) as browser:
                page = await browser.sign_in("first@example.com", PASSWORD)
                assert page.headers["location"] == settings.pages[0]

    def written() -> list[Any]:
        return [record["action"] for _, record in repository.audit(before=None, object=None, limit=9)]

    from identity.database import in_database
    from identity.people import repository

    assert await in_database(written) == ["operator.create"]


async def test_the_key_that_signs_is_read_once_for_all_tokens(provider: Provider) -> None:
    from allauth.core.internal import jwkkit

    person = await provider.account("helper", "b1")
    async with provider.browser() as browser:
        tokens = await provider.signed_in(browser, person.email)
    read = jwkkit.load_pem.cache_info()
    for _ in range(2):
        assert (await provider.backend.refresh(tokens)).status_code == 200
    # Each refresh signs two tokens: allauth reads the key through what is kept here.
    assert jwkkit.load_pem.cache_info().misses == read.misses
    assert jwkkit.load_pem.cache_info().hits >= read.hits + 4
