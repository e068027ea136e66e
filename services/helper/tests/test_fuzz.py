"""Every answer to anything that may be asked is as documented, whoever asks."""

import pytest

from laundry_testing.fuzzing import fuzz

from .conftest import Service


@pytest.mark.timeout(900)
async def test_every_answer_is_as_documented(alone: Service) -> None:
    roles = ("helper", "owner", "operator", "customer", "device")
    await fuzz(
        str(alone.http.base_url),
        (await alone.http.get("/openapi.json")).json(),
        [alone.identity.bearer(role, "b1", "0", sub=f"{role}-1") for role in roles],
        # Previews need a broker: they are asked in test_previews.
        without=["/tasks/stream", "/previews"],
    )
