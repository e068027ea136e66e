"""A real broker with Compose's own settings, alone, as without the profile cluster."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from laundry.deploy import broker
from laundry_events.definitions import definitions
from laundry_events.topology import PLAN, VHOST
from laundry_servers import choice, rootfs
from laundry_servers.addresses import BrokerAddress
from laundry_servers.choice import Kind
from laundry_servers.files import write_json
from laundry_servers.progress import Quiet
from laundry_servers.rabbitmq import RabbitMQ

pytestmark = pytest.mark.servers


class BrokerOfCompose(RabbitMQ):
    """With what its container finds in its environment."""

    def _environment(self, index: int) -> dict[str, str]:
        given = {"LAUNDRY_MQTT_AUTH_SECRET": secrets.token_hex(16)}
        return {**super()._environment(index), **given}


@pytest.fixture
def alone(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[BrokerAddress]:
    if choice.choose(Kind(pytestconfig.getoption("--laundry-servers"))).kind is not Kind.NATIVE:
        pytest.skip("the settings are those of a container; a native broker can be given them")
    folder, password = tmp_path / "rabbitmq", secrets.token_urlsafe(24)
    file = folder / "definitions.json"
    text = broker.COMPOSE_FILE.read_text() + broker.ALONE_FILE.read_text()
    server = BrokerOfCompose(
        rootfs.ensure(Quiet()),
        folder,
        password=password,
        extra_config=text.replace("/etc/rabbitmq/definitions.json", str(file)),
    )
    passwords = {each.name: secrets.token_urlsafe(24) for each in PLAN.services}
    write_json(file, definitions(PLAN, passwords, administrator=(server.username, password)))
    try:
        yield server.start()
    finally:
        server.stop()


def test_it_starts_without_the_others_and_makes_every_queue(alone: BrokerAddress) -> None:
    with httpx.Client(
        base_url=alone.management_url, auth=(alone.username, alone.password), timeout=10
    ) as http:
        queues = http.get(f"/api/queues/{VHOST}").raise_for_status().json()
        nodes = http.get("/api/nodes").raise_for_status().json()
    assert {each["name"] for each in queues} >= {queue.name for queue in PLAN.queues}
    assert [node["name"] for node in nodes] == ["rmq1@localhost"]
    with httpx.Client(base_url=alone.management_url, timeout=10) as http:
        # What HAProxy asks without a login.
        assert http.get("/api/health/checks/ready-to-serve-clients").json() == {"status": "ok"}
        assert http.get("/api/overview").status_code == 401
