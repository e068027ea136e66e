"""``laundry topology``: what it shows of a real broker, and what it removes only when it may."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from urllib.parse import quote, urlsplit

import httpx
import pytest
from typer.testing import CliRunner, Result

from laundry.cli import app
from laundry.stack import state
from laundry.topology import tables
from laundry_events.topology import PLAN, VHOST
from laundry_servers.addresses import BrokerAddress

pytestmark = pytest.mark.servers

PASSWORDS = {service.name: "not-secret" for service in PLAN.services}


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
        self.url = f"http://{login}@{where.hostname}:{where.port}"
        self._passwords = folder / "passwords.json"
        self._passwords.write_text(json.dumps(PASSWORDS))

    def run(self, *arguments: str) -> Result:
        options = ["--management-url", self.url]
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


def test_every_queue_is_shown_with_its_limits_and_every_login_with_its_rights() -> None:
    rows = {row[0]: dict(zip(tables.QUEUE_COLUMNS, row, strict=True)) for row in tables.queue_rows(PLAN)}
    assert rows.keys() == {queue.name for queue in PLAN.queues}
    read = rows["task.submitted"]
    assert read["holds"] == "1,000,000 or 1,024 MiB"
    assert (read["lifetime"], read["deliveries"], read["when full"]) == ("no end", "20", "refuses more")
    assert read["retries after"] == "1 s, 2 s, 4 s"
    assert read["dead letters"] == "7 d, 256 MiB"
    assert (read["from"], read["to"]) == ("helper", "ai-consumer ×3")
    assert rows["telemetry.reported"]["dead letters"] == "7 d, 64 MiB, drops the oldest"
    assert rows["model.promoted"]["lifetime"] == "7 d"
    assert rows["telemetry.reported"]["from"] == "equipment (MQTT)"
    logins = {right.login: right for right in tables.rights(PLAN)}
    assert "task.read" in logins["helper"].reads
    assert "laundry.events: task.submitted, task.confirmed" in logins["helper"].publishes
    declared = {login: right.declares for login, right in logins.items() if right.declares != "nothing"}
    assert declared == {"helper": "helper.replies.[0-9a-f]+"}, "queues of its own, for its answers"


def users(management: httpx.Client) -> set[str]:
    return {
        user["name"] for user in management.get("/api/users").raise_for_status().json()
    } & PASSWORDS.keys()


def acts(folder: Path) -> list[tuple[str, str]]:
    """Of the audit for what is not the local stack."""
    file = folder / "audit" / "acts.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(act["action"], act["outcome"]) for act in map(json.loads, lines)]


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, management: httpx.Client) -> Path:
    """A local stack that runs, with passwords of its own and an audit that does not answer."""
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(tmp_path))
    monkeypatch.setattr(state, "supervisor", lambda _: object())
    management.delete(f"/api/vhosts/{VHOST}")
    nowhere = {"operations": "postgresql://nobody:nothing@127.0.0.1:1/none"}
    stack = {"management_urls": ["http://a:b@127.0.0.1:1"], "amqp_urls": [], "postgres_urls": nowhere}
    (tmp_path / "stack.json").write_text(json.dumps(stack))
    (tmp_path / "secrets.json").write_text(json.dumps({"broker": PASSWORDS}))
    return tmp_path


@pytest.mark.parametrize("by", ["option", "variable"])
def test_another_broker_gets_neither_the_local_stacks_passwords_nor_its_audit(
    by: str, rabbitmq: BrokerAddress, local: Path, management: httpx.Client
) -> None:
    url = Topology(rabbitmq, local).url
    options = ["--management-url", url] if by == "option" else []
    variables = {} if by == "option" else {"LAUNDRY_MANAGEMENT_URL": url}
    done = CliRunner().invoke(app, ["topology", "apply", *options], env={"COLUMNS": "200", **variables})
    assert done.exit_code == 0, done.output
    assert "without users: give --passwords" in done.output
    assert users(management) == set()
    assert acts(local) == [("topology.apply", "asked"), ("topology.apply", "done")]


def test_the_stacks_own_broker_gets_its_passwords(
    rabbitmq: BrokerAddress, local: Path, management: httpx.Client
) -> None:
    stack = {"management_urls": [Topology(rabbitmq, local).url], "postgres_urls": {}}
    (local / "stack.json").write_text(json.dumps(stack))
    done = CliRunner().invoke(app, ["topology", "apply"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert users(management) == PASSWORDS.keys()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("no JSON", "cannot be read (JSONDecodeError"),
        ("[]", "has no password for helper, "),
        (json.dumps(PASSWORDS | {"identity": ""}), "has no password for identity. "),
        (json.dumps(PASSWORDS | {"identity": 1}), "has no password for identity. "),
    ],
)
def test_passwords_that_are_not_there_are_named_before_anything_is_done(
    content: str, expected: str, topology: "Topology", tmp_path: Path
) -> None:
    (tmp_path / "passwords.json").write_text(content)
    done = topology.run("apply")
    assert done.exit_code == 1
    told = " ".join(done.output.split())
    assert expected in told
    assert '{"service": "password"}' in told
    assert acts(tmp_path) == []


class Recreating(Topology):
    """A broker on which ``task.read`` is a classic queue, as from a time before the plan."""

    def __init__(self, broker: BrokerAddress, folder: Path, management: httpx.Client) -> None:
        super().__init__(broker, folder)
        assert self.run("apply").exit_code == 0
        self._amqp_url = broker.amqp_url_for(broker.username, broker.password, VHOST)
        self._management = management
        path = f"/api/queues/{VHOST}/task.read"
        management.delete(path).raise_for_status()
        body = {"durable": True, "arguments": {"x-queue-type": "classic"}}
        management.put(path, json=body).raise_for_status()
        bindings = f"/api/bindings/{VHOST}/e/laundry.events/q/task.read"
        management.post(bindings, json={"routing_key": "task.read"}).raise_for_status()

    def publish(self, text: str) -> None:
        body = {"properties": {"delivery_mode": 2, "message_id": text}, "routing_key": "task.read"}
        body |= {"payload": text, "payload_encoding": "string"}
        answer = self._management.post(f"/api/exchanges/{VHOST}/laundry.events/publish", json=body)
        assert answer.raise_for_status().json() == {"routed": True}

    def take(self, number: int) -> list[str]:
        body = {"count": number, "ackmode": "ack_requeue_false", "encoding": "auto"}
        answer = self._management.post(f"/api/queues/{VHOST}/task.read/get", json=body)
        # It is just being replaced: not there, or without a leader.
        if answer.status_code in (404, 500):
            return []
        answer.raise_for_status()
        return [each["properties"]["message_id"] for each in answer.json()]

    def recreate(self, seconds: float) -> Result:
        return self.run("recreate", "task.read", "--amqp-url", self._amqp_url, "--seconds", str(seconds))


def test_a_queue_of_another_type_is_made_anew_without_losing_a_message(
    rabbitmq: BrokerAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, management: httpx.Client
) -> None:
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(tmp_path))
    broker = Recreating(rabbitmq, tmp_path, management)
    assert "queues: task.read: arguments" in broker.run("verify").output

    # Nobody consumes it, so to delete it would lose the message: refused, and everything is as before.
    broker.publish("before")
    refused = broker.recreate(0)
    assert refused.exit_code == 1
    assert "would lose them" in " ".join(refused.output.split())
    assert "task.read.beside" not in queues(management)
    broker.publish("between")
    assert broker.take(10) == ["before", "between"]

    taken: list[str] = []
    ended = Event()

    def consume() -> None:
        while not ended.is_set():
            taken.extend(broker.take(50))

    def publish() -> None:
        for number in range(200):
            broker.publish(f"m{number}")

    with ThreadPoolExecutor(2) as pool:
        consuming = pool.submit(consume)
        publishing = pool.submit(publish)
        recreated = broker.recreate(60)
        ended.set()
        for thread in (consuming, publishing):
            thread.result(60)
    assert recreated.exit_code == 0, recreated.output
    taken += broker.take(1000)
    # One that came to both queues is there twice, which an inbox makes one effect.
    assert set(taken) == {f"m{number}" for number in range(200)}
    assert "task.read.beside" not in queues(management)
    assert broker.run("verify").exit_code == 0
    assert "as planned" in broker.recreate(0).output
