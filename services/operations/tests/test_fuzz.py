"""Every answer to anything that may be asked is as documented, whoever asks."""

import pytest

from laundry_testing.fuzzing import fuzz

from .conftest import World, bury, holds


@pytest.mark.timeout(900)
async def test_every_answer_is_as_documented(world: World) -> None:
    await bury(world.messaging, "0190a000-0000-7000-8000-000000000001", "odd \x7f id")
    await holds(world.messaging, "task.read.dlq", 2)
    roles = ("operator", "owner", "helper", "customer", "device")
    await fuzz(
        str(world.http.base_url),
        (await world.http.get("/openapi.json")).json(),
        [world.identity.bearer(role, "b1", sub=f"{role}-1") for role in roles],
        # Exports need every other service (test_people).
        without=["/jobs/{id}/stream", "/people/export", "/people/me/export"],
    )
