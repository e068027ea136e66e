"""The two processes as an operator starts them; one of them is killed with a push in flight."""

import asyncio
import signal
from collections.abc import Callable
from functools import partial

import httpx
import pytest

from laundry_events import Publisher
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.plugin import LocalFcm
from laundry_testing.processes import ServiceProcess, ServiceProcesses

from .conftest import Phones, a_fault

# Four interpreters start here, one after another: longer deadlines than elsewhere.
pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

Start = Callable[[str], ServiceProcess]


@pytest.fixture
def start(
    database_url: str,
    messaging: Messaging,
    identity: FileIdentity,
    fcm: LocalFcm,
    processes: ServiceProcesses,
) -> Start:
    """Start one of the processes, named by its argument."""
    return partial(
        processes.start,
        "notification",
        database_url=database_url,
        amqp_url=messaging.amqp_url,
        fcm_url=fcm.url,
        fcm_attempt_timeout_s=20,
        **identity.settings,
    )


async def test_a_killed_process_loses_no_fault_and_stops_cleanly_when_asked(
    start: Start, identity: FileIdentity, phones: Phones, publisher: Publisher
) -> None:
    api, first = start("api"), start("faults")
    await api.ready()
    await first.ready()
    owner = identity.bearer("owner", "b1", sub="kim")
    async with httpx.AsyncClient(base_url=api.url, headers=owner, timeout=10) as http:
        (await http.post("/devices", json={"token": "kims", "platform": "ios"})).raise_for_status()

        async def state() -> str | None:
            items = (await http.get("/notifications")).json()["items"]
            return items[0]["state"] if items else None

        await phones.control(delay_seconds=600, times=1)
        await publisher.publish(a_fault())
        # The rows are committed, the push hangs: the worst moment to die.
        await eventually(state, within_s=90, what="the stored notification")
        assert await phones.got("kims") == []
        first.process.send_signal(signal.SIGKILL)
        second = start("faults")
        assert len(await phones.gets("kims", within_s=90)) == 1

        async def sent() -> bool:
            return await state() == "sent"

        await eventually(sent, within_s=90, what="the mark")
        await second.ready()
        # An open stream holds up no stop.
        async with http.stream("GET", "/notifications/stream") as stream:
            assert stream.status_code == 200
            for process in (api.process, second.process):
                process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.wait, 30) == 0
    for stopped in (api, second):
        assert '"event": "stopped"' in stopped.log.read_text()
