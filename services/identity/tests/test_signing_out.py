"""Signing out ends one sign-in and leads back to the pages."""

from .browser import SignIn
from .conftest import AUTHORIZE, Provider


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
        page = await phone.open(AUTHORIZE, **provider.query(SignIn()))
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
