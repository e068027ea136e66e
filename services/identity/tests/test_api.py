"""Branches, people and the audit, as programs ask for them."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from laundry_testing.problems import assert_problem

from .conftest import World


async def test_an_operator_makes_branches_and_others_see_their_own(world: World) -> None:
    await world.branch("b1", "b2")
    twice = await world.http.post(
        "/branches", json={"id": "b1", "name_ko": "하나", "name_en": "One"}, headers=world.operator
    )
    assert_problem(twice, 409, "branch-exists")
    renamed = await world.http.patch("/branches/b1", json={"name_ko": " 강남 1호점 "}, headers=world.operator)
    assert renamed.json() == {"id": "b1", "name_ko": "강남 1호점", "name_en": "Branch b1"}
    owner = await world.person("owner", "b1")
    listed = await world.http.get("/branches", headers=owner)
    assert [each["id"] for each in listed.json()["items"]] == ["b1"]
    for method, path in (("POST", "/branches"), ("PATCH", "/branches/b1")):
        names = {"id": "b3", "name_ko": "셋", "name_en": "Three"}
        body = names if method == "POST" else {"name_ko": "셋"}
        assert_problem(
            await world.http.request(method, path, json=body, headers=owner), 403, "role-forbidden"
        )
    found = await world.http.get("/branches", params={"q": "강남"}, headers=world.operator)
    assert [each["id"] for each in found.json()["items"]] == ["b1"]
    assert [each["object"] for each in await world.audited("branch.rename")] == ["b1"]
    missing = await world.http.patch("/branches/none", json={"name_ko": "셋"}, headers=world.operator)
    assert_problem(missing, 404, "branch-unknown")


async def test_an_owner_sees_the_people_of_own_branches_only(world: World) -> None:
    await world.branch("b1", "b2", "b3")
    owner = await world.person("owner", "b1", name="점주")
    await world.person("helper", "b1", "b3", name="둘 다")
    await world.person("helper", "b2", name="남")
    people = await world.people(owner)
    assert [(each["name"], each["branches"]) for each in people] == [("둘 다", ["b1"]), ("점주", ["b1"])]
    everybody = await world.people(world.operator)
    assert {each["name"]: each["branches"] for each in everybody}["둘 다"] == ["b1", "b3"]
    foreign = await world.http.get("/people", params={"branch_id": "b2"}, headers=owner)
    assert_problem(foreign, 403, "branch-forbidden")
    helper = await world.person("helper", "b1", name="셋")
    assert_problem(await world.http.get("/people", headers=helper), 403, "role-forbidden")


async def test_ten_thousand_people_come_in_pages_without_one_twice_or_left_out(world: World) -> None:
    await world.branch("b1")

    def many() -> None:
        from identity.people.models import Branch, Person

        people = Person.objects.bulk_create(
            Person(email=f"p{number}@example.com", name=f"이름 {number % 100}", role="helper")
            for number in range(10_000)
        )
        branch = Branch.objects.get(id="b1")
        through = Person.branches.through
        through.objects.bulk_create(through(person=each, branch=branch) for each in people)

    await world.in_database(many)
    owner = await world.person("owner", "b1", name="점주")
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 200, "role": "helper"}
    while True:
        answer = await world.http.get("/people", params=query, headers=owner)
        page = answer.json()
        seen += [each["sub"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert len(seen) == len(set(seen)) == 10_000
    found = await world.people(owner, q="p4711@")
    assert [each["email"] for each in found] == ["p4711@example.com"]


async def test_a_right_that_was_taken_away_is_gone_at_once(world: World) -> None:
    await world.branch("b1", "b2")
    owner = await world.person("owner", "b1")
    await world.person("helper", "b1", "b2", name="헬퍼")
    (helper,) = await world.people(owner, role="helper")
    began = datetime.now(UTC)
    removed = await world.http.delete(f"/people/{helper['sub']}", params={"reason": "left"}, headers=owner)
    assert removed.status_code == 204, removed.text
    (denial,) = await world.denied()
    assert denial["sub"] == helper["sub"]
    assert began <= datetime.fromisoformat(denial["issued_before"]) <= datetime.now(UTC)
    assert [each["name"] for each in await world.people(owner)] == ["김민지"]
    # In the branch of somebody else the helper goes on.
    assert [each["branches"] for each in await world.people(world.operator, role="helper")] == [["b2"]]
    (record,) = await world.audited("person.remove")
    assert (record["object"], record["reason"], record["branches"]) == (helper["sub"], "left", ["b1"])
    again = await world.http.delete(f"/people/{helper['sub']}", headers=owner)
    assert_problem(again, 404, "person-unknown")
    known = await world.http.get("/deny-list.json")
    unchanged = await world.http.get("/deny-list.json", headers={"If-None-Match": known.headers["etag"]})
    assert unchanged.status_code == 304


async def test_who_lost_a_right_cannot_use_the_token_that_still_lives(world: World) -> None:
    await world.branch("b1")
    owner = await world.person("owner", "b1")
    invitation = await world.invite(owner, "helper", "b1")
    (person,) = await world.people(world.operator, role="owner")
    removed = await world.http.delete(f"/people/{person['sub']}", headers=world.operator)
    assert removed.status_code == 204, removed.text
    for method, path, body in (
        ("GET", "/people", None),
        ("POST", "/invitations", {"role": "helper", "branches": ["b1"]}),
    ):
        answer = await world.http.request(method, path, json=body, headers=owner)
        assert_problem(answer, 403, "role-forbidden")
    # What they had invited to is over, too.
    refused = await world.http.get(invitation["link"].removeprefix(world.settings.issuer))
    assert refused.status_code == 410


async def test_of_two_operators_who_remove_each_other_one_stays(world: World) -> None:
    one, other = [await world.person("operator", name=name) for name in ("하나", "둘")]
    subs = {each["name"]: each["sub"] for each in await world.people(world.operator, role="operator")}
    answers = await asyncio.gather(
        world.http.delete(f"/people/{subs['둘']}", headers=one),
        world.http.delete(f"/people/{subs['하나']}", headers=other),
    )
    assert sorted(answer.status_code for answer in answers) in ([204, 403], [204, 409])
    assert len(await world.people(world.operator, role="operator")) == 1
    (left,) = await world.people(world.operator, role="operator")
    last = await world.http.delete(f"/people/{left['sub']}", headers=world.operator)
    assert_problem(last, 409, "last-operator")


@pytest.mark.parametrize(
    "spelled", [str.upper, lambda sub: sub.replace("-", ""), lambda sub: f"urn:uuid:{sub}"]
)
async def test_a_sub_has_one_spelling(world: World, spelled: Callable[[str], str]) -> None:
    await world.branch("b1")
    await world.person("operator", name="하나")
    await world.person("helper", "b1", name="헬퍼")
    for each in await world.people(world.operator):
        # The last operator stays, and nobody is denied by a name that no token has.
        removed = await world.http.delete(f"/people/{spelled(each['sub'])}", headers=world.operator)
        assert_problem(removed, 404, "person-unknown")
    assert len(await world.people(world.operator)) == 2
    assert await world.denied() == []


async def test_an_operator_is_removed_from_no_branch(world: World) -> None:
    await world.branch("b1")
    for name in ("하나", "둘"):
        await world.person("operator", name=name)
    for each in await world.people(world.operator):
        removed = await world.http.delete(
            f"/people/{each['sub']}", params={"branch_id": "b1"}, headers=world.operator
        )
        assert_problem(removed, 404, "person-unknown")
    assert len(await world.people(world.operator, role="operator")) == 2


@pytest.mark.parametrize("letter", ["가", "😀", '"'])
async def test_people_with_the_longest_names_come_in_pages_too(world: World, letter: str) -> None:
    await world.branch("b1")
    for _ in range(2):
        await world.person("helper", "b1", name=letter * 100)
    first = await world.http.get("/people", params={"limit": 1}, headers=world.operator)
    rest = {"cursor": first.json()["next_cursor"]}
    second = await world.http.get("/people", params=rest, headers=world.operator)
    assert second.status_code == 200, second.text
    subs = {each["sub"] for page in (first, second) for each in page.json()["items"]}
    assert len(subs) == 2


async def test_nothing_in_the_audit_can_be_changed(world: World) -> None:
    await world.branch("b1")

    def change() -> None:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("UPDATE audit SET by = 'nobody'")

    from django.db import ProgrammingError

    with pytest.raises(ProgrammingError, match="only added to"):
        await world.in_database(change)
    (record,) = await world.audited("branch.create")
    assert record["by"] == "operator-1"
    owner = await world.person("owner", "b1")
    assert_problem(await world.http.get("/people/audit", headers=owner), 403, "role-forbidden")
