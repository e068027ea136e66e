"""Invitations, from the link to the account."""

import asyncio
from datetime import timedelta

import httpx
import pytest

from laundry_testing.problems import assert_problem

from .conftest import World, form


async def test_an_owner_invites_a_helper_who_then_works_there(world: World) -> None:
    await world.branch("b1")
    owner = await world.person("owner", "b1")
    invitation = await world.invite(owner, "helper", "b1", note="월요일 담당")
    assert invitation["link"].startswith("http://identity.test/invitation/")
    assert invitation["qr_svg"].startswith("<svg")
    (shown,) = (await world.http.get("/invitations", headers=owner)).json()["items"]
    assert "link" not in shown
    assert shown["note"] == "월요일 담당"
    answer = await world.accept(invitation, "Park@Example.com")
    assert (answer.status_code, answer.headers["location"]) == (302, "http://pages.test"), answer.text
    helper = next(each for each in await world.people(owner) if each["role"] == "helper")
    assert (helper["name"], helper["email"]) == ("박서준", "park@example.com")
    assert (await world.http.get("/invitations", headers=owner)).json()["items"] == []
    (record,) = await world.audited("invitation.accept")
    assert record["by"] == helper["sub"]
    assert invitation["link"].rpartition("/")[2] not in str(await world.audited("invitation.create"))


@pytest.mark.parametrize(("language", "word"), [("ko-KR", "지점"), ("en-US", "Branches")])
async def test_the_page_speaks_the_readers_language(world: World, language: str, word: str) -> None:
    await world.branch("b1")
    invitation = await world.invite(world.operator, "helper", "b1")
    path = invitation["link"].removeprefix(world.settings.issuer)
    page = await world.http.get(path, headers={"Accept-Language": language})
    assert word in page.text
    assert page.headers["cache-control"].startswith("max-age=0")
    assert f"{'b1 지점' if language == 'ko-KR' else 'Branch b1'}" in page.text


async def test_a_link_makes_one_account_whoever_comes_at_the_same_moment(world: World) -> None:
    await world.branch("b1")
    invitation = await world.invite(world.operator, "helper", "b1")
    answers = await asyncio.gather(*(world.accept(invitation, f"p{n}@example.com") for n in range(4)))
    assert sorted(answer.status_code for answer in answers) == [302, 410, 410, 410]
    assert len(await world.people(world.operator)) == 1
    refused = next(answer for answer in answers if answer.status_code == 410)
    assert "이미 사용한 초대" in refused.text or "has been used" in refused.text


async def test_one_address_has_one_account_however_it_is_written(world: World) -> None:
    await world.branch("b1")
    invitations = [await world.invite(world.operator, "helper", "b1") for _ in range(3)]
    answers = await asyncio.gather(
        *(
            world.accept(invitation, email)
            for invitation, email in zip(
                invitations, ("kim@example.com", "KIM@example.com", " kim@ｅｘａｍｐｌｅ.com"), strict=True
            )
        )
    )
    assert sorted(answer.status_code for answer in answers) == [302, 409, 409]
    assert len(await world.people(world.operator)) == 1
    assert len((await world.http.get("/invitations", headers=world.operator)).json()["items"]) == 2


@pytest.mark.parametrize(
    "said",
    [
        {"email": "ｋim@example.com"},
        {"email": "кim@example.com"},
        {"email": "kim\u202e@example.com"},
        {"name": "\u200b"},
        {"name": ""},
        {"password": "12345678"},
        {"password": ""},
    ],
)
async def test_what_does_not_do_is_told_at_its_field_and_uses_nothing_up(
    world: World, said: dict[str, str]
) -> None:
    await world.branch("b1")
    invitation = await world.invite(world.operator, "helper", "b1")
    answer = await world.accept(invitation, **{"email": "kim@example.com", **said})
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    assert (await world.accept(invitation, "kim@example.com")).status_code == 302


async def test_an_expired_withdrawn_or_invented_link_says_so(world: World) -> None:
    await world.branch("b1")
    owner = await world.person("owner", "b1")
    expired, withdrawn = [await world.invite(owner, "helper", "b1") for _ in range(2)]

    def expire() -> None:
        from identity.people.models import Invitation

        for each in Invitation.objects.filter(id=expired["id"]):
            each.expires_at = each.created_at - timedelta(seconds=1)
            each.save()

    await world.in_database(expire)
    gone = await world.http.delete(f"/invitations/{withdrawn['id']}", headers=owner)
    assert gone.status_code == 204
    again = await world.http.delete(f"/invitations/{withdrawn['id']}", headers=owner)
    assert_problem(again, 404, "invitation-unknown")
    english = {"Accept-Language": "en"}
    for link, status, words in (
        (expired["link"], 410, "has expired"),
        (withdrawn["link"], 410, "was withdrawn"),
        (f"{world.settings.issuer}/invitation/none", 404, "no such invitation"),
    ):
        page = await world.http.get(link.removeprefix(world.settings.issuer), headers=english)
        assert page.status_code == status
        assert words in page.text


async def test_an_owner_gives_only_what_is_an_owners_to_give(world: World) -> None:
    await world.branch("b1", "b2")
    owner = await world.person("owner", "b1")
    for body, status, code in (
        ({"role": "helper", "branches": ["b2"]}, 403, "branch-forbidden"),
        ({"role": "owner", "branches": ["b1"]}, 403, "role-forbidden"),
        ({"role": "operator"}, 403, "role-forbidden"),
        ({"role": "customer"}, 422, "invalid-request"),
        ({"role": "helper"}, 422, "branches-unfit"),
    ):
        assert_problem(await world.http.post("/invitations", json=body, headers=owner), status, code)
    unknown = {"role": "helper", "branches": ["b9"]}
    answer = await world.http.post("/invitations", json=unknown, headers=world.operator)
    assert_problem(answer, 404, "branch-unknown")
    # A token that claims more than the person has counts for what the person has.
    claiming = world.bearer("owner", "b1", "b2", sub=(await world.people(owner))[0]["sub"])
    answer = await world.http.post(
        "/invitations", json={"role": "helper", "branches": ["b2"]}, headers=claiming
    )
    assert_problem(answer, 403, "branch-forbidden")
    foreign = await world.invite(world.operator, "helper", "b2")
    answer = await world.http.delete(f"/invitations/{foreign['id']}", headers=owner)
    assert_problem(answer, 404, "invitation-unknown")
    assert (await world.http.get("/invitations", headers=owner)).json()["items"] == []


async def test_who_has_an_account_adds_the_branch_to_it(world: World) -> None:
    await world.branch("b1", "b2")
    first = await world.invite(world.operator, "helper", "b1")
    second = await world.invite(world.operator, "helper", "b2")
    other_role = await world.invite(world.operator, "owner", "b2")
    async with httpx.AsyncClient(base_url=world.http.base_url, timeout=60) as browser:
        paths = [
            each["link"].removeprefix(world.settings.issuer) for each in (first, second, other_role, first)
        ]
        page = await browser.get(paths[0])
        answer = await browser.post(paths[0], data=form(page, "kim@example.com"))
        assert answer.status_code == 302, answer.text
        page = await browser.get(paths[1])
        assert "kim@example.com" in page.text
        statuses = [(await browser.post(path, data=form(page))).status_code for path in paths[1:]]
        assert statuses == [302, 409, 410]
    (helper,) = await world.people(world.operator)
    assert (helper["role"], helper["branches"]) == ("helper", ["b1", "b2"])
