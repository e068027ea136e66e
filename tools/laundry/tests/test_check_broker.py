"""``laundry check broker`` on a real broker: each failure has its own exit status."""

import secrets
from collections.abc import Callable, Iterator

import httpx
import pytest
from typer.testing import CliRunner

from laundry.checks.broker import Outcome
from laundry.cli import app
from laundry_testing.plugin import Vhost

pytestmark = pytest.mark.servers

Login = Callable[..., str]


@pytest.fixture
def login(vhost: Vhost) -> Iterator[Login]:
    """Make a login with rights in the test's virtual host; returns its address."""
    broker = vhost.broker
    name = f"check-{secrets.token_hex(4)}"
    with httpx.Client(
        base_url=broker.management_url, auth=(broker.username, broker.password), timeout=30
    ) as management:

        def make(**rights: str) -> str:
            everything = {"configure": ".*", "write": ".*", "read": ".*"}
            management.put(f"/api/users/{name}", json={"password": "here", "tags": ""}).raise_for_status()
            path = f"/api/permissions/{vhost.name}/{name}"
            management.put(path, json=everything | rights).raise_for_status()
            return broker.amqp_url_for(name, "here", vhost.name)

        yield make
        management.delete(f"/api/users/{name}")


def status(url: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["check", "broker", "--amqp-url", url, "--timeout", "60"])
    return done.exit_code, done.output


def test_a_broker_that_takes_and_gives_is_well_and_keeps_nothing_of_it(vhost: Vhost) -> None:
    code, output = status(vhost.amqp_url)
    assert code == Outcome.WELL, output
    assert "receive" in output
    broker = vhost.broker
    queues = httpx.get(
        f"{broker.management_url}/api/queues/{vhost.name}",
        auth=(broker.username, broker.password),
        timeout=30,
    )
    assert queues.json() == []


def test_each_failure_has_its_own_status(vhost: Vhost, login: Login) -> None:
    assert status("amqp://kim:here@127.0.0.1:1/")[0] == Outcome.NOT_REACHED
    assert status(vhost.broker.amqp_url_for("kim", "wrong", vhost.name))[0] == Outcome.REFUSED
    for url in ("foo", "amqp://kim:here@127.0.0.1:abc/", ","):
        code, output = status(url)
        assert code == Outcome.NOT_REACHED
        assert "this is no address" in " ".join(output.split())
    # Of several, each is checked.
    code, output = status(f"{vhost.amqp_url}, amqp://kim:here@127.0.0.1:abc/")
    assert code == Outcome.NOT_REACHED
    assert "receive" in output
    # It may make no queue, so nothing can be published; or it may publish and not read.
    assert status(login(configure="^$"))[0] == Outcome.NOT_PUBLISHED
    assert status(login(write="^$"))[0] == Outcome.NOT_PUBLISHED
    assert status(login(read="^$"))[0] == Outcome.NOT_RECEIVED
