"""The service account's key is changed while faults come in."""

import asyncio
import secrets
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from laundry_events import Publisher
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging
from laundry_testing.serving import serving
from notification.app import create_app, create_faults_app

from .conftest import MakeSettings, Phones, a_fault
from .service_account import TokenServer

pytestmark = pytest.mark.servers
# One fault each: several of one branch are told in one alert.
BRANCHES = [f"branch-{number}" for number in range(30)]


async def test_every_fault_rings_once_while_the_key_changes(
    make_settings: MakeSettings,
    messaging: Messaging,
    identity: FileIdentity,
    phones: Phones,
    publisher: Publisher,
    tmp_path: Path,
) -> None:
    tokens, phone = TokenServer(tmp_path), f"phone-{secrets.token_hex(8)}"

    def replica(key: str) -> AbstractAsyncContextManager[Any]:
        settings = make_settings(amqp_url=messaging.amqp_url, fcm_credentials_file=tokens.key(key))
        return serving(create_faults_app(settings))

    async def break_machines() -> None:
        for branch in BRANCHES:
            await publisher.publish(a_fault(branch_id=branch))
            await asyncio.sleep(0.05)

    async with serving(create_app(make_settings())) as http:
        device = {"token": phone, "platform": "ios"}
        owner = identity.bearer("owner", *BRANCHES, sub="kim")
        (await http.post("/devices", json=device, headers=owner)).raise_for_status()
    breaking = asyncio.create_task(break_machines())
    async with AsyncExitStack() as successor:
        async with replica("old"):
            await phones.gets(phone, 3)
            # As an update does it: the new one is ready before the old one is asked to end.
            await successor.enter_async_context(replica("new"))
        tokens.delete("old")
        await breaking
        told = await phones.gets(phone, len(BRANCHES))
    assert len(told) == len(BRANCHES)
    assert [each["key"] for each in tokens.asked] == ["old", "new"]
    tokens.close()
