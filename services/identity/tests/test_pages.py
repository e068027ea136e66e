"""The pages of the provider: which there are, and who may open them."""

import re
from typing import Any

import laundry_look
from identity.app import create_app
from laundry_testing.serving import ready, serving

from .browser import Browser
from .conftest import PASSWORD, MakeSettings, Provider


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


async def test_a_page_has_the_look_of_all_pages(provider: Provider) -> None:
    async with provider.browser() as browser:
        page = await browser.open("/accounts/login/")
        named = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text))
        assert named == {"/static/icon.svg", "/static/pages.css"}
        files = {path: await browser.open(path) for path in named}
        assert {file.status_code for file in files.values()} == {200}
        sheet = files["/static/pages.css"]
        assert sheet.headers["content-type"].startswith("text/css")
        shared = [(laundry_look.STATIC / "css" / name).read_text() for name in laundry_look.SHEETS]
        assert sheet.text.startswith("\n".join(shared)) and ".field" in sheet.text.removeprefix(
            "\n".join(shared)
        )
        again = await browser.http.get("/static/pages.css", headers={"If-None-Match": sheet.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


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


async def test_the_settings_make_an_operator_of_an_account_where_none_is_left(
    make_settings: MakeSettings,
) -> None:
    from identity.database import in_database
    from identity.people.models import Person, Role

    given = {"first_operator": "First@Example.com", "first_operator_password": PASSWORD}
    settings = make_settings(**given)
    email = "first@example.com"
    for _ in range(2):
        async with serving(create_app(settings)) as http:
            await ready(http)
            async with Browser(http.base_url, settings.issuer) as browser:
                await browser.sign_in(email, PASSWORD)
                assert (await browser.open("/admin/people/person/")).status_code == 200

            def lose() -> None:
                person = Person.objects.get(email=email)
                person.role, person.is_active = Role.HELPER, False
                person.set_password("forgotten-by-everybody")
                person.save()

            await in_database(lose)


async def test_the_first_operator_is_made_once_and_in_the_audit(make_settings: MakeSettings) -> None:
    given = {"first_operator": "First@Example.com", "first_operator_password": PASSWORD}
    settings = make_settings(**given)
    for _ in range(2):
        async with serving(create_app(settings)) as http:
            await ready(http)
            async with Browser(http.base_url, settings.issuer) as browser:
                page = await browser.sign_in("first@example.com", PASSWORD)
                assert page.headers["location"] == settings.pages[0]

    def written() -> list[Any]:
        return [record["action"] for _, record in repository.audit(before=None, object=None, limit=9)]

    from identity.database import in_database
    from identity.people import repository

    assert await in_database(written) == ["operator.create"]
