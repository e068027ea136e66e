"""Passwords: wrong ones, forgotten ones, and how they are kept."""

import asyncio
import re
from email import message_from_bytes, policy
from pathlib import Path

from laundry_service.auth.deny_list import DenyList
from laundry_service.auth.principal import Principal
from laundry_testing.messaging import eventually

from .conftest import PASSWORD, Provider
from .holding import held, waiting

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


async def test_a_lockout_lasts_however_many_others_are_counted(provider: Provider) -> None:
    from django.core.cache import cache

    person = await provider.account("helper", "b1")
    for _ in range(5):
        async with provider.browser() as stranger:
            await stranger.sign_in(person.email, WRONG)

    def count_others() -> None:
        # As failures of invented addresses are; their keys come after.
        for number in range(310):
            cache.set(f"invented:{number}", [1.0], 300)

    await provider.in_database(count_others)
    async with provider.browser() as browser:
        page = await browser.sign_in(person.email, PASSWORD)
        assert page.status_code == 200 and 'role="alert"' in page.text


async def test_counts_that_are_over_are_deleted_and_the_others_stay(provider: Provider) -> None:
    from django.core.cache import cache
    from django.db import connection

    from identity.oidc.housekeeping import delete_counts_that_are_over

    def left() -> list[str]:
        cache.set("lives", [1.0], 300)
        cache.set("over", [1.0], -300)
        delete_counts_that_are_over()
        with connection.cursor() as cursor:
            cursor.execute("SELECT cache_key FROM cache")
            return [key for (key,) in cursor.fetchall()]

    assert await provider.in_database(left) == [":1:lives"]


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


async def test_a_new_password_denies_the_tokens_from_before_too(provider: Provider) -> None:
    person = await provider.account("helper", "b1")
    async with provider.browser() as browser:
        tokens = await provider.signed_in(browser, person.email)
        page = await browser.open("/accounts/password/change/")
        new = {"oldpassword": PASSWORD, "password1": OTHER_PASSWORD, "password2": OTHER_PASSWORD}
        await browser.submit(page, **new)
    before = provider.claims(tokens["access_token"])["iat"]
    denied = DenyList({"denied": await provider.denied()})
    assert denied.covers(Principal(person.sub, "helper", issued_at=before), now=before)
    assert (await provider.backend.refresh(tokens)).json()["error"] == "invalid_grant"


async def test_no_sign_in_goes_on_that_was_refreshed_while_its_password_changed(provider: Provider) -> None:
    person = await provider.account("helper", "b1")
    async with provider.browser() as browser:
        tokens = await provider.signed_in(browser, person.email)

    def change() -> None:
        person.set_password(OTHER_PASSWORD)
        person.save()

    async with held(change):
        refreshing = asyncio.create_task(provider.backend.refresh(tokens))
        await waiting(provider.settings.database_url.get_secret_value())
    refreshed = await refreshing
    assert (refreshed.status_code, refreshed.json()["error"]) == (400, "invalid_grant")


async def test_a_new_password_brings_no_right_back_that_was_taken_away_meanwhile(provider: Provider) -> None:
    from allauth.account.adapter import get_adapter

    from identity.people import repository

    person = await provider.account("operator")

    def change() -> str | None:
        found = repository.person(person.id)
        assert found is not None
        repository.give(found, None)
        # Read before.
        get_adapter().set_password(person, OTHER_PASSWORD)
        found.refresh_from_db()
        assert found.check_password(OTHER_PASSWORD)
        return found.role

    assert await provider.in_database(change) is None


async def test_operators_change_their_password_where_everybody_does(provider: Provider) -> None:
    operator = await provider.account("operator")
    async with provider.browser() as browser:
        await browser.sign_in(operator.email, PASSWORD)
        page = await browser.open("/admin/password_change/")
        assert page.url.path == "/accounts/password/change/"


async def test_an_address_in_another_script_is_found_as_it_is_typed(
    provider: Provider, mail_folder: Path
) -> None:
    person = await provider.account("helper", "b1", email="kim@세탁.한국")
    assert person.email.isascii()
    async with provider.browser() as browser:
        page = await browser.sign_in("Kim@세탁.한국", PASSWORD)
        assert page.headers["location"] == provider.settings.pages[0]
    assert await reset_link(provider, mail_folder, person.email, typed="Kim@세탁.한국")


async def test_a_mail_says_whom_it_is_from(provider: Provider, mail_folder: Path) -> None:
    person = await provider.account("helper", "b1")
    await reset_link(provider, mail_folder, person.email)
    mails = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in mail_folder.glob("*")]
    (body,) = [mail.get_content() for mail in mails if mail["To"] == person.email]
    assert "스마트 세탁" in body and "identity.test" in body


async def reset_link(provider: Provider, mail_folder: Path, email: str, typed: str | None = None) -> str:
    async with provider.browser() as browser:
        # A forged Host must not end in the mail.
        browser.http.headers["X-Forwarded-Host"] = "evil.test"
        page = await browser.open("/accounts/password/reset/")
        await browser.submit(page, email=typed or email)

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
