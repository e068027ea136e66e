"""Every answer to anything that may be asked is as documented, whoever asks."""

import pytest

from laundry_testing.fuzzing import fuzz

from .conftest import Replica


@pytest.mark.timeout(900)
async def test_every_answer_is_as_documented(service: Replica) -> None:
    world = service.world
    roles = ("operator", "device", "owner", "helper", "customer")
    await fuzz(
        service.url,
        (await service.client.get("/openapi.json")).json(),
        [world.bearer(world.token(role, "b1", "0", sub=f"{role}-1")) for role in roles],
        without=["/equipment/stream"],
    )
