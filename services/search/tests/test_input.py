"""Input that is refused, and changes nothing."""

import base64

import pytest

from laundry_testing.problems import assert_problem
from search.tables import preferences

from .conftest import WORDS, World

pytestmark = pytest.mark.servers


async def test_bad_input_is_refused_and_nothing_is_kept(world: World) -> None:
    owner = world.owner("b1")
    good = {"tags": {"quiet": 1}, **WORDS}
    bodies: list[object] = [
        {**good, "tags": {}},
        {**good, "tags": {"QUIET": 1}},
        {**good, "title": ""},
        {**good, "title": "   "},
        {**good, "title": "x" * 101},
        {**good, "text": "x" * 1001},
        {**good, "text": "bell \x07"},
        {**good, "text": "null \x00"},
        {**good, "matches": ["kim"]},
        {"tags": {"quiet": 1}},
        [],
    ]
    for body in bodies:
        answer = await world.http.post("/branches/b1/preferences", json=body, headers=owner)
        assert_problem(answer, 422, "invalid-request")
    broken = {**owner, "Content-Type": "application/json"}
    answer = await world.http.post("/branches/b1/preferences", content=b"{", headers=broken)
    assert_problem(answer, 400, "malformed-json")
    nan = b'{"tags": {"quiet": NaN}, "title": "t", "text": "t"}'
    answer = await world.http.post("/branches/b1/preferences", content=nan, headers=broken)
    assert answer.status_code in {400, 422}
    customer = world.customer("kim")
    answer = await world.http.put("/customers/me/preference", json={"tags": {"a": 2}}, headers=customer)
    assert_problem(answer, 422, "invalid-request")
    long = world.customer("k" * 256)
    answer = await world.http.put("/customers/me/preference", json={"tags": {"a": 1}}, headers=long)
    assert_problem(answer, 401, "token-invalid")
    await world.likes("kim", quiet=1)
    answer = await world.http.get("/branches/matching", headers=customer, params={"cursor": "nonsense"})
    assert_problem(answer, 422, "invalid-cursor")
    answer = await world.http.get("/branches/B_1/preferences", headers=customer)
    assert_problem(answer, 422, "invalid-request")
    assert await world.count(preferences) == 0


@pytest.mark.parametrize(
    "cursor", [b'[0.5,"\\u0000"]', b'[0.5,"\\ud800"]', b'[1e999,"b1"]', b'[NaN,"b1"]', b"[" * 99]
)
async def test_a_cursor_that_was_not_given_out_is_refused(world: World, cursor: bytes) -> None:
    await world.likes("ann", quiet=0.9)
    answer = await world.http.get(
        "/branches/matching",
        headers=world.customer("ann"),
        params={"cursor": base64.urlsafe_b64encode(cursor).decode()},
    )
    assert_problem(answer, 422, "invalid-cursor")
