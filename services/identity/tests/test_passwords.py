"""Passwords: wrong ones, forgotten ones, and how they are kept."""

import re
from pathlib import Path

from laundry_testing.messaging import eventually

from .conftest import PASSWORD, Provider

OTHER_PASSWORD = "indigo-ink-on-paper"
WRONG = "not-the-password"


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
        assert (
            done.status_code == 200 and "비밀번호를 바꿨습니다" in done.text and "password1" not in done.text
        )
        page = await browser.sign_in(person.email, OTHER_PASSWORD)
        assert page.headers["location"] == provider.settings.pages[0]
    # Whoever had the old password is out, on every phone.
    refreshed = await provider.backend.refresh(tokens)
    assert (refreshed.status_code, refreshed.json()["error"]) == (400, "invalid_grant")
    async with provider.browser() as stranger:
        again = await stranger.open(link)
        assert "더 이상 쓸 수 없는 링크입니다" in again.text and "password1" not in again.text
        assert 'href="/accounts/password/reset/"' in again.text


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


async def test_a_password_is_kept_as_argon2_and_a_client_s_secret_as_a_hash(provider: Provider) -> None:
    from allauth.idp.oidc.models import Client

    person = await provider.account("helper", "b1")
    assert person.password.startswith("argon2$argon2id$")
    secret = provider.settings.oidc_client_secret.get_secret_value()
    stored = await provider.in_database(lambda: Client.objects.get(id=provider.settings.oidc_client_id))
    assert secret not in stored.secret and stored.check_secret(secret)
