"""Every answer to anything that may be asked is as documented, whoever asks."""

import pytest

from laundry_testing.fuzzing import fuzz

from .conftest import World


@pytest.mark.timeout(900)
async def test_every_answer_is_as_documented(world: World) -> None:
    await world.branch("b1")
    await world.invite(world.operator, "owner", "b1")
    await world.person("helper", "b1")
    roles = ("operator", "owner", "helper", "customer", "device")
    await fuzz(
        str(world.http.base_url),
        (await world.http.get("/openapi.json")).json(),
        [world.bearer(role, "b1", "0", sub=f"{role}-1") for role in roles],
    )
