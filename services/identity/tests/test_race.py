"""A right taken away while a token is made: the token either has less, or is refused."""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

from laundry_service.auth.deny_list import DenyList
from laundry_service.auth.principal import Principal

from .conftest import World

ROUNDS = 8
AT_ONCE = 6


async def test_no_token_outlives_the_right_that_it_names(world: World) -> None:
    from identity.people.service.tokens import TokenRight, right_of_person

    await world.branch("b1", "b2")
    for number in range(ROUNDS):
        header = await world.person("helper", "b1", "b2", name=f"헬퍼 {number}")
        (person,) = await world.people(world.operator, q=f"헬퍼 {number}")
        id_ = UUID(person["sub"])

        async def token(id_: UUID = id_) -> TokenRight | None:
            found: TokenRight | None = await world.in_database(lambda: right_of_person(id_))
            return found

        async def taken(sub: str = person["sub"]) -> Any:
            return await world.http.delete(
                f"/people/{sub}", params={"branch_id": "b1"}, headers=world.operator
            )

        made = [token() for _ in range(AT_ONCE)]
        answer, *tokens = await asyncio.gather(taken(), *made)
        assert answer.status_code == 204, answer.text
        assert header
        denied = DenyList(await denials(world))
        for each in tokens:
            assert each is not None
            principal = Principal(each.sub, each.role, each.branches, issued_at=each.read_at.timestamp())
            refused = denied.covers(principal, now=each.read_at.timestamp())
            # Either it says what the person has now, and is taken; or it says more, and is refused.
            assert refused == ("b1" in each.branches)


async def denials(world: World) -> dict[str, Any]:
    answer = await world.http.get("/deny-list.json")
    assert all(datetime.fromisoformat(each["issued_before"]).tzinfo for each in answer.json()["denied"])
    found: dict[str, Any] = answer.json()
    return found
