"""``laundry topology``: what it shows of a real broker, and what it removes only when it may."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest
from typer.testing import CliRunner, Result

from laundry.cli import app
from laundry_events.topology import PLAN, VHOST
from laundry_servers.addresses import BrokerAddress

pytestmark = pytest.mark.servers


@pytest.fixture
def management(rabbitmq: BrokerAddress) -> Iterator[httpx.Client]:
    login = (rabbitmq.username, rabbitmq.password)
    with httpx.Client(base_url=rabbitmq.management_url, auth=login, timeout=30) as client:
        yield client
        client.delete(f"/api/vhosts/{VHOST}").raise_for_status()
        for service in PLAN.services:
            client.delete(f"/api/users/{service.name}")


@pytest.fixture
def topology(rabbitmq: BrokerAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Topology":
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(tmp_path))
    return Topology(rabbitmq, tmp_path)


class Topology:
    def __init__(self, broker: BrokerAddress, folder: Path) -> None:
        where = urlsplit(broker.management_url)
        login = f"{quote(broker.username)}:{quote(broker.password)}"
        self._url = f"http://{login}@{where.hostname}:{where.port}"
        self._passwords = folder / "passwords.json"
        self._passwords.write_text(
            "{" + ", ".join(f'"{service.name}": "not-secret"' for service in PLAN.services) + "}"
        )

    def run(self, *arguments: str) -> Result:
        options = ["--management-url", self._url]
        if arguments[0] == "apply":
            options += ["--passwords", str(self._passwords)]
        done = CliRunner().invoke(app, ["topology", *arguments, *options], env={"COLUMNS": "200"})
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done


def queues(management: httpx.Client) -> set[str]:
    answer = management.get(f"/api/queues/{VHOST}").raise_for_status()
    return {queue["name"] for queue in answer.json()}


def test_what_is_not_in_the_plan_is_shown_and_goes_only_when_that_is_said(
    topology: Topology, management: httpx.Client
) -> None:
    assert "+ vhosts: laundry is missing" in topology.run("plan").output
    assert topology.run("apply").exit_code == 0
    assert "nothing to do" in topology.run("plan").output

    body = {"durable": True, "arguments": {"x-queue-type": "quorum"}}
    management.put(f"/api/queues/{VHOST}/former", json=body).raise_for_status()
    management.delete(f"/api/queues/{VHOST}/task.read.dlq").raise_for_status()
    shown = topology.run("plan").output.splitlines()
    assert "- queues: former is not in the plan" in shown
    assert "+ queues: task.read.dlq is missing" in shown

    applied = topology.run("apply")
    assert "former is not in the plan" in applied.output
    assert "--yes" in applied.output, "nobody is there to be asked"
    assert {"former", "task.read.dlq"} <= queues(management)

    applied = topology.run("apply", "--yes")
    assert "1 removed, 0 left" in applied.output
    assert "former" not in queues(management)
    assert topology.run("verify").exit_code == 0
