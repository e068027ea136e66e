"""Fixtures with real servers, started once for a pytest run and only if a test asks for them.

``rabbitmq``, ``postgres``, ``object_store`` and ``fcm`` are shared by the run; ``vhost``, ``database_url``
and ``bucket`` are one test's own and go away with it. ``--laundry-servers`` picks the way (given, docker,
native).
"""

import asyncio
import functools
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from laundry_events.plan import Plan
from laundry_events.topology import PLAN
from laundry_servers import choice, rootfs, vhosts
from laundry_servers.addresses import BrokerAddress, DatabaseAddress, ObjectStoreAddress
from laundry_servers.choice import Choice, Kind
from laundry_servers.fcm import PROJECT_ID, Fcm
from laundry_servers.identity import LocalIdentity
from laundry_servers.postgres import drop_database, ensure_database
from laundry_servers.progress import Quiet
from laundry_service.migrate import upgrade
from laundry_service.storage.database import Database
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging, apply_plan
from laundry_testing.processes import ServiceProcesses
from laundry_testing.s3 import empty_and_delete_bucket, make_bucket

CHOICE = pytest.StashKey[Choice]()
STARTED = pytest.StashKey[list[str]]()
# Of the test databases: a login and its password.
ROLE = ("laundry_test", "laundry_test")


@dataclass(frozen=True, slots=True)
class Vhost:
    """A virtual host that belongs to one test.

    With MQTT log in as ``mqtt_username`` and the broker's password.
    """

    name: str
    amqp_url: str = field(repr=False)
    broker: BrokerAddress

    @property
    def mqtt_username(self) -> str:
        """User name that also names this virtual host."""
        return f"{self.name}:{self.broker.username}"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket that belongs to one test."""

    name: str
    store: ObjectStoreAddress

    @property
    def settings(self) -> dict[str, str]:
        """A service's settings that name it."""
        return {
            "s3_endpoint_url": self.store.endpoint_url,
            "s3_bucket": self.name,
            "s3_access_key": self.store.access_key,
            "s3_secret_key": self.store.secret_key,
        }


@dataclass(frozen=True, slots=True)
class LocalFcm:
    """The local FCM of this run; ``project_id`` is any. The identity's tokens verify against ``jwks_url``."""

    url: str
    project_id: str
    jwks_url: str
    identity: LocalIdentity


class _Narrator:
    """Progress of the one long preparation, as plain lines above the tests."""

    def __init__(self, config: pytest.Config) -> None:
        self.reporter = config.pluginmanager.get_plugin("terminalreporter")

    def _say(self, text: str) -> None:
        if self.reporter is not None:
            self.reporter.write_line(text)

    def started(self, step: str) -> None:
        self._say(f"making {step} (once for this machine)")

    def note(self, step: str, text: str) -> None:
        self._say(f"  {text}")

    def finished(self, step: str, text: str = "") -> None:
        self._say(f"{step}: {text}")

    def failed(self, step: str, text: str) -> None:
        self._say(f"{step} failed: {text}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the choice of servers."""
    parser.addoption(
        "--laundry-servers",
        choices=[kind.value for kind in Kind],
        default=os.environ.get("LAUNDRY_TEST_SERVERS", Kind.AUTO.value),
        help="real servers: given (addresses in the environment), docker, native, or the first possible",
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Make the broker's root file system before any test's timeout runs."""
    names = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    needed = names & {"rabbitmq", "vhost", "messaging"}
    if not needed or session.config.option.collectonly:
        return
    if _choice(session.config).kind is Kind.NATIVE:
        rootfs.ensure(_Narrator(session.config))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let a pytest-xdist worker report which servers it started."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["laundry_servers"] = session.config.stash.get(STARTED, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect a worker's report for the summary."""
    told = getattr(node, "workeroutput", {}).get("laundry_servers", [])
    if told:
        _choice(node.config)
        node.config.stash[STARTED] += [name for name in told if name not in node.config.stash[STARTED]]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which servers the tests ran against."""
    started = config.stash.get(STARTED, [])
    if started:
        terminalreporter.write_line(f"real servers: {', '.join(sorted(started))}: {_choice(config)}")


def _choice(config: pytest.Config) -> Choice:
    if CHOICE not in config.stash:
        config.stash[CHOICE] = choice.choose(Kind(config.getoption("--laundry-servers")))
        config.stash[STARTED] = []
    return config.stash[CHOICE]


def _taken(config: pytest.Config, name: str) -> Kind:
    kind = _choice(config).kind
    config.stash[STARTED].append(name)
    return kind


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Folder for the servers' data and logs; kept when LAUNDRY_KEEP_SERVER_LOGS is set."""
    folder = Path(tempfile.mkdtemp(prefix="laundry-test-"))
    # PostgreSQL runs as another user when the tests run as root.
    folder.chmod(0o755)
    yield folder
    if not os.environ.get("LAUNDRY_KEEP_SERVER_LOGS"):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def rabbitmq(pytestconfig: pytest.Config, servers_folder: Path) -> Iterator[BrokerAddress]:
    """A RabbitMQ 4.3 node with an administrator's credentials. Prefer ``vhost``, which is a test's own."""
    kind = _taken(pytestconfig, "RabbitMQ")
    server = choice.broker(kind, servers_folder / "rabbitmq", Quiet(), statistics_milliseconds=1000)
    yield server.start()
    server.stop()


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config, servers_folder: Path) -> Iterator[DatabaseAddress]:
    """A PostgreSQL server with a superuser's credentials. Prefer ``database_url``, which is a test's own."""
    kind = _taken(pytestconfig, "PostgreSQL")
    server = choice.database(kind, servers_folder / "postgres", durable=False)
    yield server.start()
    server.stop()


@pytest.fixture(scope="session")
def object_store(pytestconfig: pytest.Config, servers_folder: Path) -> Iterator[ObjectStoreAddress]:
    """An S3 service. Prefer ``bucket``, which is a test's own."""
    kind = _taken(pytestconfig, "S3")
    server = choice.object_store(kind, servers_folder / "s3")
    yield server.start()
    server.stop()


@pytest.fixture(scope="session")
def given_servers(
    rabbitmq: BrokerAddress, postgres: DatabaseAddress, object_store: ObjectStoreAddress
) -> dict[str, str]:
    """The environment in which another run of pytest takes this one's servers."""
    return {
        "LAUNDRY_AMQP_URL": rabbitmq.amqp_url,
        "LAUNDRY_MANAGEMENT_URL": rabbitmq.management_url,
        "LAUNDRY_POSTGRES_URL": postgres.url(),
        "LAUNDRY_S3_ENDPOINT_URL": object_store.endpoint_url,
        "LAUNDRY_S3_ACCESS_KEY": object_store.access_key,
        "LAUNDRY_S3_SECRET_KEY": object_store.secret_key,
    }


@pytest.fixture(scope="session")
def fcm(pytestconfig: pytest.Config, servers_folder: Path) -> Iterator[LocalFcm]:
    """The local FCM and identity. It is shared: use random device tokens and ``GET /messages?token=``."""
    _taken(pytestconfig, "FCM (local)")
    folder = servers_folder / "identity"
    identity = LocalIdentity(folder)
    server = Fcm(servers_folder / "fcm", identity_folder=folder)
    address = server.start()
    yield LocalFcm(address.url, PROJECT_ID, server.jwks_url, identity)
    server.stop()


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileIdentity]:
    """An identity provider: it mints tokens and serves its JWKS."""
    provider = FileIdentity(tmp_path_factory.mktemp("identity"))
    yield provider
    provider.close()


@pytest.fixture(scope="session")
def delete_vhost(rabbitmq: BrokerAddress) -> Iterator[Callable[[str], None]]:
    """Delete a virtual host while the next test begins already; the run fails at its end if that failed."""
    begun: list[Future[None]] = []
    with ThreadPoolExecutor(1, thread_name_prefix="delete-vhost") as pool:
        yield lambda name: begun.append(pool.submit(vhosts.delete, rabbitmq, name))
    for deletion in begun:
        deletion.result()


@pytest.fixture
def vhost(rabbitmq: BrokerAddress, delete_vhost: Callable[[str], None]) -> Iterator[Vhost]:
    """A new virtual host, deleted afterwards."""
    name = f"test-{secrets.token_hex(6)}"
    vhosts.create(rabbitmq, name)
    yield Vhost(name, rabbitmq.amqp_url_for(rabbitmq.username, rabbitmq.password, name), rabbitmq)
    delete_vhost(name)


@pytest.fixture
def broker_plan() -> Plan:
    """What ``messaging`` declares. A service's tests override it with their part, ``PLAN.around(name)``."""
    return PLAN


@pytest.fixture
def messaging(vhost: Vhost, broker_plan: Plan) -> Messaging:
    """A virtual host with the plan applied: every queue, policy and binding of ``broker_plan``."""
    apply_plan(vhost.broker, vhost.name, broker_plan)
    return Messaging(vhost.amqp_url, vhost.name, vhost.broker)


@pytest.fixture
def migrated() -> str | None:
    """Package whose tables ``database_url`` has from the start; a service's tests override it."""
    return None


@pytest.fixture(scope="session")
def template_of(postgres: DatabaseAddress) -> Callable[[str], str]:
    """Make a database with a package's tables once for the run, and name it: copying it is much quicker."""

    @functools.cache
    def make(package: str) -> str:
        name = f"template_{package}"
        url = asyncio.run(ensure_database(postgres, name, *ROLE))
        asyncio.run(upgrade(package, _with_asyncpg(url)))
        return name

    return make


@pytest.fixture
def database_url(
    postgres: DatabaseAddress, template_of: Callable[[str], str], migrated: str | None
) -> Iterator[str]:
    """SQLAlchemy URL (asyncpg) of a new database that its own role owns; dropped afterwards.

    It is empty, or as ``migrated`` says.
    """
    name = f"test_{secrets.token_hex(6)}"
    template = template_of(migrated) if migrated else None
    yield _with_asyncpg(asyncio.run(ensure_database(postgres, name, *ROLE, template=template)))
    asyncio.run(drop_database(postgres, name))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The service's database, looked at from outside."""
    made = Database(database_url, pool=8)
    yield made
    await made.close()


def _with_asyncpg(url: str) -> str:
    return url.replace("postgresql://", "postgresql+asyncpg://", 1)


@pytest.fixture
def bucket(object_store: ObjectStoreAddress) -> Iterator[Bucket]:
    """A new bucket, deleted with its objects afterwards."""
    name = f"test-{secrets.token_hex(6)}"
    make_bucket(object_store, name)
    yield Bucket(name, object_store)
    empty_and_delete_bucket(object_store, name)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[ServiceProcesses]:
    """Starts services as processes of their own, which end with the test."""
    made = ServiceProcesses(tmp_path)
    yield made
    made.kill()
