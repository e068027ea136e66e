"""Every answer to anything that may be asked is as documented, whoever asks."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx
import pytest

from laundry_testing.fuzzing import fuzz
from laundry_testing.identity import FileIdentity

Service = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.mark.timeout(900)
async def test_every_answer_is_as_documented(service: Service, identity: FileIdentity) -> None:
    roles = ("operator", "owner", "helper", "customer", "device")
    async with service() as client:
        await fuzz(
            str(client.base_url),
            (await client.get("/openapi.json")).json(),
            [identity.bearer(role, "b1", "0", sub=f"{role}-1") for role in roles],
            without=["/training-runs/stream"],
        )
