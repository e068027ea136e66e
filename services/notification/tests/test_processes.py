"""The two processes as an operator starts them; one of them is killed with a push in hand."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from laundry_events import Publisher
from laundry_servers.ports import free_port
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.plugin import LocalFcm

from .conftest import Phones, a_fault

# Four interpreters start here, one after another: longer deadlines than elsewhere.
pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

Start = Callable[[str], tuple["subprocess.Popen[bytes]", str]]


@pytest_asyncio.fixture
async def start(
    database_url: str, messaging: Messaging, identity: FileIdentity, fcm: LocalFcm, tmp_path: Path
) -> AsyncIterator[Start]:
    """Start ``python -m notification ...``; whatever still runs is killed at the end."""
    environment = {
        **os.environ,
        "LAUNDRY_DATABASE_URL": database_url,
        "LAUNDRY_AMQP_URL": messaging.amqp_url,
        "LAUNDRY_FCM_URL": fcm.url,
        "LAUNDRY_FCM_ATTEMPT_TIMEOUT_S": "20",
        **{f"LAUNDRY_{name.upper()}": value for name, value in identity.settings.items()},
    }
    migrate = [sys.executable, "-m", "laundry_service.migrate", "notification"]
    await asyncio.to_thread(subprocess.run, migrate, env=environment, check=True, timeout=60)
    started: list[subprocess.Popen[bytes]] = []

    def start(process: str) -> tuple["subprocess.Popen[bytes]", str]:
        port = free_port()
        with (tmp_path / f"{process}-{port}.log").open("wb") as output:
            running = subprocess.Popen(
                [sys.executable, "-m", "notification", process],
                env={**environment, "LAUNDRY_PORT": str(port)},
                stdout=output,
                stderr=output,
            )
        started.append(running)
        return running, f"http://127.0.0.1:{port}"

    yield start
    for running in started:
        running.kill()
        await asyncio.to_thread(running.wait)


async def ready(url: str) -> bool:
    async with httpx.AsyncClient(timeout=5) as client:
        try:
            return (await client.get(f"{url}/readyz")).status_code == 200
        except httpx.HTTPError:
            return False


async def test_a_killed_process_loses_no_fault_and_stops_cleanly_when_asked(
    start: Start, identity: FileIdentity, phones: Phones, publisher: Publisher, tmp_path: Path
) -> None:
    api, api_url = start("api")
    first, first_url = start("faults")
    first_port = first_url.rpartition(":")[2]
    await eventually(lambda: ready(api_url), within_s=90, what="the api process")
    await eventually(lambda: ready(first_url), within_s=90, what="the faults process")
    owner = identity.bearer("owner", "b1", sub="kim")
    async with httpx.AsyncClient(base_url=api_url, headers=owner, timeout=10) as http:
        (await http.post("/devices", json={"token": "kims", "platform": "ios"})).raise_for_status()

        async def state() -> str | None:
            items = (await http.get("/notifications")).json()["items"]
            return items[0]["state"] if items else None

        await phones.control(delay_seconds=600, times=1)
        await publisher.publish(a_fault())
        # The rows are committed, the push hangs: the worst moment to die.
        await eventually(state, within_s=90, what="the stored notification")
        assert await phones.got("kims") == []
        first.send_signal(signal.SIGKILL)
        second, second_url = start("faults")
        assert len(await phones.gets("kims", within_s=90)) == 1

        async def sent() -> bool:
            return await state() == "sent"

        await eventually(sent, within_s=90, what="the mark")
        await eventually(lambda: ready(second_url), within_s=90, what="the second faults process")
        # An open stream holds up no stop.
        async with http.stream("GET", "/notifications/stream") as stream:
            assert stream.status_code == 200
            for process in (api, second):
                process.send_signal(signal.SIGTERM)
                # uvicorn raises the signal again once everything has ended.
                assert await asyncio.to_thread(process.wait, 30) in {0, -signal.SIGTERM}
    for log in (log for log in tmp_path.glob("*.log") if not log.stem.endswith(first_port)):
        assert '"event": "stopped"' in log.read_text()
