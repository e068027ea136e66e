"""What a service says of its broker."""

import asyncio
import subprocess
import sys

import httpx
import pytest

from laundry_events import Publisher
from laundry_service.app import make_app
from laundry_service.messaging.wiring import Messaging
from laundry_service.settings import ServiceSettings


class BlockedPublisher(Publisher):
    """Connected to a broker that has an alarm."""

    @property
    def connected(self) -> bool:
        return True

    @property
    def blocked(self) -> bool:
        return True


async def test_a_broker_with_an_alarm_is_told_and_takes_nobody_out_of_service() -> None:
    url = "amqp://nobody:nothing@127.0.0.1:9/"
    settings = ServiceSettings(
        service_name="tests", amqp_url=url, jwks_url="http://127.0.0.1:9/jwks", jwt_issuer="tests"
    )
    messaging = Messaging(settings, service="tests", version="1")
    messaging.publisher = BlockedPublisher(url, source="tests")
    app = make_app(settings, title="Tests", version="1", description="", messaging=messaging)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["checks"] == {"publisher": "ok", "publishing": "failed"}


def test_a_service_that_consumes_nothing_does_not_load_faststream() -> None:
    program = """
import sys
from laundry_service.app import make_app
from laundry_service.messaging.wiring import Messaging
from laundry_service.settings import ServiceSettings

nowhere = "http://127.0.0.1:9/"
settings = ServiceSettings(service_name="tests", amqp_url=nowhere, jwks_url=nowhere, jwt_issuer="tests")
messaging = Messaging(settings, service="tests", version="1")
make_app(settings, title="Tests", version="1", description="", messaging=messaging)
print("faststream" in sys.modules)
messaging.consumer
print("faststream" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    assert [line for line in done.stdout.split() if line in {"True", "False"}] == ["False", "True"]


@pytest.mark.parametrize("error", [asyncio.CancelledError(), RuntimeError("a bug")])
async def test_a_part_that_does_not_stop_keeps_no_other_from_stopping(error: BaseException) -> None:
    """The AMQP library throws CancelledError into whatever waits on a connection that closes."""
    ended: list[str] = []

    class Part:
        def __init__(self, name: str, error: BaseException | None = None) -> None:
            self._name, self._error = name, error

        async def start(self) -> None:
            return

        async def stop(self) -> None:
            ended.append(self._name)
            if self._error is not None:
                raise self._error

    async def close_badly() -> None:
        raise error

    async def close() -> None:
        ended.append("closed")

    nowhere = "http://127.0.0.1:9/"
    settings = ServiceSettings(service_name="tests", amqp_url=nowhere, jwks_url=nowhere, jwt_issuer="tests")
    app = make_app(
        settings,
        title="Tests",
        version="1",
        description="",
        background=[Part("first"), Part("second", error)],
        on_close=[close_badly, close],
    )
    async with app.router.lifespan_context(app):
        pass
    assert ended == ["second", "first", "closed"]
