"""Signing in at the OpenID provider: the whole way, and what is refused on it."""

from typing import Any

from laundry_service.auth.authenticator import Authenticator

from .browser import Browser, SignIn, returned
from .conftest import AUTHORIZE, PASSWORD, Provider


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


async def test_who_is_asked_anew_may_be_somebody_else(provider: Provider) -> None:
    before = await provider.account("helper", "b1", name="김민지")
    after = await provider.account("helper", "b1", name="이서준")
    async with provider.browser() as shared:
        await provider.signed_in(shared, before.email)
        page = await shared.open(AUTHORIZE, **provider.query(SignIn(), prompt="login"))
        assert 'name="login"' in page.text
        tokens = await provider.signed_in(shared, after.email, prompt="login")
    assert provider.claims(tokens["access_token"])["sub"] == after.sub


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
            page = await browser.open(AUTHORIZE, **provider.query(SignIn(), **changes))
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
            page = await browser.open(AUTHORIZE, **provider.query(SignIn(), redirect_uri=redirect_uri))
            assert page.status_code == 400, redirect_uri
            assert "location" not in page.headers
            assert "로그인 요청이 올바르지 않습니다" in page.text


async def code_for(provider: Provider, browser: Browser, sign_in: SignIn, email: str) -> str:
    page = await browser.open(AUTHORIZE, **provider.query(sign_in))
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
    # With which another replica of the pages signs out here without a question.
    assert provider.claims(refreshed["id_token"])["sub"] == person.sub
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
