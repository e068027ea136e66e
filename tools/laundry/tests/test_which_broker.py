"""Which broker a command means: the local stack's or a named one, and never two of them."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from laundry import management
from laundry.cli import app
from laundry.stack import state
from laundry_servers.addresses import BrokerAddress, ObjectStoreAddress
from laundry_servers.errors import LaundryError
from laundry_servers.given import GivenRabbitMQ

AMQP, MANAGEMENT = "amqp://kim:pw@production.invalid/laundry", "http://kim:pw@production.invalid:15672"
DOCUMENT: dict[str, Any] = {
    "amqp_urls": ["amqp://admin:own@127.0.0.1:1/laundry"],
    "management_urls": ["http://admin:own@127.0.0.1:1"],
    "postgres_urls": {},
    "postgres_owner_urls": {},
}
RECREATE = ("topology", "recreate", "task.read")
REPLAY = ("replay", "--into", "task.read", "--unhandled")
HISTORY = ("history", "--unhandled")
DISCARD = ("dlq", "discard", "task.read", "--reason-text", "x")


@pytest.fixture(autouse=True)
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local stack that runs, as far as commands look."""
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(tmp_path))
    monkeypatch.setattr(state, "supervisor", lambda _: object())
    (tmp_path / "stack.json").write_text(json.dumps(DOCUMENT))
    for name in (management.VARIABLE, management.AMQP_VARIABLE, "LAUNDRY_AUDIT_DATABASE_URLS"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: str, **variables: str) -> Result:
    done = CliRunner().invoke(app, [*arguments], env={"COLUMNS": "200", **variables})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def said(done: Result) -> str:
    return " ".join(done.output.split())


@pytest.mark.parametrize("command", [RECREATE, REPLAY, HISTORY], ids=lambda each: each[0])
@pytest.mark.parametrize(
    ("options", "variables", "lacking"),
    [
        (("--management-url", MANAGEMENT), {}, "LAUNDRY_AMQP_URL"),
        ((), {"LAUNDRY_MANAGEMENT_URL": MANAGEMENT}, "LAUNDRY_AMQP_URL"),
        (("--amqp-url", AMQP), {}, "LAUNDRY_MANAGEMENT_URL"),
        ((), {"LAUNDRY_AMQP_URL": AMQP}, "LAUNDRY_MANAGEMENT_URL"),
    ],
)
def test_what_uses_both_addresses_is_refused_where_one_of_them_would_be_the_stacks(
    command: tuple[str, ...], options: tuple[str, ...], variables: dict[str, str], lacking: str
) -> None:
    done = run(*command, *options, **variables)
    assert done.exit_code == 1
    assert re.search(rf"is named by .*, but not by {lacking} .*Name both", said(done)), done.output


@pytest.mark.parametrize("command", [DISCARD, ("dlq", "list"), ("check", "broker")], ids=" ".join)
def test_another_broker_that_is_named_by_its_management_alone_is_not_taken_for_the_stacks(
    command: tuple[str, ...],
) -> None:
    done = run(*command, LAUNDRY_MANAGEMENT_URL=MANAGEMENT)
    assert done.exit_code == 1
    assert "but not by LAUNDRY_AMQP_URL (--amqp-url)" in said(done)


@pytest.mark.parametrize("command", ["apply", "plan", "verify"])
def test_another_broker_that_is_named_by_amqp_alone_is_not_taken_for_the_stacks(command: str) -> None:
    done = run("topology", command, LAUNDRY_AMQP_URL=AMQP)
    assert done.exit_code == 1
    assert "but not by LAUNDRY_MANAGEMENT_URL (--management-url)" in said(done)


@pytest.mark.parametrize("command", [HISTORY, REPLAY], ids=lambda each: each[0])
def test_events_of_another_broker_are_not_compared_with_the_stacks_databases(
    command: tuple[str, ...],
) -> None:
    done = run(*command, LAUNDRY_AMQP_URL=AMQP, LAUNDRY_MANAGEMENT_URL=MANAGEMENT)
    assert done.exit_code == 1
    assert "LAUNDRY_AUDIT_DATABASE_URLS" in done.output


@pytest.mark.parametrize(
    "url",
    ["foo", ",", "http://a:b@h:15672", "amqp://a:secret@h:abc/", "amqp://a:secret@h:99999", "amqp://a..b/"],
)
def test_what_is_no_address_is_said_and_not_repeated(url: str) -> None:
    both = {"LAUNDRY_MANAGEMENT_URL": MANAGEMENT}
    for command in (("dlq", "list"), RECREATE):
        done = run(*command, "--amqp-url", url, **both)
        assert done.exit_code == 1
        assert "looks like amqp://user:password@host:5672/laundry" in said(done)
        assert "secret" not in done.output


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("foo", "looks like http://user:password@host:15672"),
        ("http://a:secret@h:abc", "looks like http://user:password@host:15672"),
        ("ftp://a:secret@h", "looks like http://user:password@host:15672"),
        ("http://h:15672", "asks for a login"),
    ],
)
@pytest.mark.parametrize("command", ["verify", "plan", "apply"])
def test_what_is_no_management_address_is_said_and_not_repeated(
    command: str, url: str, expected: str
) -> None:
    done = run("topology", command, "--management-url", url)
    assert done.exit_code == 1
    assert expected in said(done)
    assert "secret" not in done.output


@pytest.mark.servers
def test_no_queue_is_recreated_with_the_addresses_of_two_brokers(rabbitmq: BrokerAddress) -> None:
    asked: list[str] = []

    class Production(BaseHTTPRequestHandler):
        """The management API of another broker, on which the queue is not as planned."""

        def do_GET(self) -> None:
            asked.append(self.path)
            queue = {"name": "task.read", "arguments": {"x-queue-type": "classic"}, "type": "classic"}
            answers = {"nodes": [{}], "task.read": queue, "cluster-name": {"name": "production"}}
            found = answers.get(self.path.rpartition("/")[2])
            body = json.dumps(found).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Production) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://kim:pw@127.0.0.1:{server.server_port}"
        done = run(*RECREATE, "--management-url", url, "--amqp-url", rabbitmq.amqp_url)
        server.shutdown()
    # It answers to GET alone, so anything else would have ended in another error.
    assert done.exit_code == 1
    assert "is of the broker production, the AMQP address of " in said(done)
    assert asked[-1] == "/api/cluster-name"


def test_several_addresses_are_separated_by_commas_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert management.amqp_urls() == DOCUMENT["amqp_urls"]
    assert management.amqp_urls(f"{AMQP}, amqps://kim:p%2Cw@[::1]:5671/laundry,") == [
        AMQP,
        "amqps://kim:p%2Cw@[::1]:5671/laundry",
    ]
    monkeypatch.setenv("LAUNDRY_AMQP_URL", f"{AMQP},{AMQP}")
    assert management.amqp_urls() == [AMQP, AMQP]
    found = management.target("https://kim:p%40w@[::1]:15671/,https://kim:p%40w@other:15671")
    assert (found.management_url, found.username, found.password) == ("https://[::1]:15671", "kim", "p@w")
    with pytest.raises(LaundryError, match="but not by LAUNDRY_MANAGEMENT_URL"):
        management.target()


def test_a_login_in_the_management_address_of_given_servers_is_the_brokers_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAUNDRY_AMQP_URL", "amqp://admin:p%40w@h1:5672,amqp://admin:p%40w@h2:5672")
    monkeypatch.setenv("LAUNDRY_MANAGEMENT_URL", "http://admin:p%40w@h1:15672/, http://admin:p%40w@h2:15672/")
    broker = GivenRabbitMQ().address
    assert broker.management_urls == ["http://h1:15672", "http://h2:15672"]
    document = state.stack_document(
        urls={},
        broker=broker,
        objects=ObjectStoreAddress("http://s3", "access", "secret"),
        database_urls={},
        owner_urls={},
        pids={},
        metrics_urls={},
    )
    found = management.of_stack(document)
    assert (found.management_url, found.username, found.password) == ("http://h1:15672", "admin", "p@w")
