"""Chooses how real servers are provided: by address, as containers, or as native processes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from laundry_servers import containers, given, rootfs
from laundry_servers.addresses import BrokerAddress, DatabaseAddress, ObjectStoreAddress
from laundry_servers.authority import Authority
from laundry_servers.errors import LaundryError
from laundry_servers.objectstore import ObjectStore
from laundry_servers.postgres import Postgres
from laundry_servers.process import Process
from laundry_servers.progress import Progress
from laundry_servers.rabbitmq import RabbitMQ


class Kind(StrEnum):
    """How servers are provided; ``auto`` takes the first possible of the others."""

    AUTO = "auto"
    GIVEN = "given"
    DOCKER = "docker"
    NATIVE = "native"


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen kind, and why."""

    kind: Kind
    reason: str

    def __str__(self) -> str:
        return f"{self.kind.value} ({self.reason})"


class _Server(Protocol):
    # Native processes for a supervisor to watch; empty for the other ways.
    processes: list[Process]

    def prepare(self) -> None: ...

    def stop(self) -> None: ...


class Broker(_Server, Protocol):
    """A RabbitMQ that can be started."""

    @property
    def address(self) -> BrokerAddress:
        """Where it is reached."""

    def start(self, seconds: float = ...) -> BrokerAddress:
        """Start and wait until it is ready."""


class Database(_Server, Protocol):
    """A PostgreSQL that can be started."""

    @property
    def address(self) -> DatabaseAddress:
        """Where it is reached."""

    def start(self, seconds: float = ...) -> DatabaseAddress:
        """Start and wait until it is ready."""


class Objects(_Server, Protocol):
    """An S3 that can be started."""

    @property
    def address(self) -> ObjectStoreAddress:
        """Where it is reached."""

    def start(self, seconds: float = ...) -> ObjectStoreAddress:
        """Start and wait until it is ready."""

    def make_bucket(self, name: str) -> None:
        """Make a bucket if it is not there."""


def choose(wanted: Kind = Kind.AUTO, *, nodes: int = 1, own: bool = False) -> Choice:
    """Return the way asked for, or the first possible of given, docker, native.

    Args:
        nodes: how many brokers there are to be: containers make no cluster, so ``auto`` passes over them.
        own: whether ``auto`` is to start servers for this alone, whatever addresses are given.

    Raises:
        LaundryError: what is asked for is not possible.
    """
    absent = given.missing()
    if wanted is Kind.GIVEN and absent:
        raise LaundryError(f"--servers given needs these variables: {', '.join(absent)}")
    if wanted is Kind.DOCKER and not containers.engine_answers():
        raise LaundryError("--servers docker: no Docker engine answers. Start one, or use --servers native.")
    if wanted is not Kind.AUTO:
        return Choice(wanted, "as asked")
    if not absent and not own:
        return Choice(Kind.GIVEN, "addresses in the environment")
    ours = "servers of its own" if own else "no addresses given"
    if nodes > 1:
        return Choice(Kind.NATIVE, f"{ours}, and {nodes} nodes make no cluster in containers")
    if containers.engine_answers():
        return Choice(Kind.DOCKER, "a Docker engine answers")
    return Choice(Kind.NATIVE, f"{ours}, no Docker engine answers")


def broker(
    kind: Kind,
    folder: Path,
    progress: Progress,
    *,
    nodes: int = 1,
    password: str | None = None,
    statistics_milliseconds: int = 5000,
    extra_config: Sequence[str] = (),
    authority: Authority | None = None,
    clients: Sequence[str] = (),
) -> Broker:
    """Return a broker that is not started yet.

    Args:
        authority: lets a native one speak nothing but TLS; ``clients`` are the logins that get a certificate.

    Raises:
        LaundryError: it cannot be provided in this way.
    """
    config = "\n".join(extra_config)
    if authority is not None and kind is not Kind.NATIVE:
        raise LaundryError(
            "TLS is set up with --servers native. A broker that is given speaks it by its own addresses: "
            "LAUNDRY_AMQP_URL=amqps://... and LAUNDRY_MANAGEMENT_URL=https://..."
        )
    if kind is Kind.GIVEN:
        return given.GivenRabbitMQ()
    if kind is Kind.DOCKER:
        if nodes > 1:
            raise LaundryError(
                "A cluster of several nodes runs with --servers native (or given), not with docker."
            )
        return containers.RabbitMQContainer(password=password, extra_config=config)
    return RabbitMQ(
        rootfs.ensure(progress),
        folder,
        nodes=nodes,
        password=password,
        statistics_milliseconds=statistics_milliseconds,
        extra_config=config,
        authority=authority,
        clients=clients,
    )


def database(
    kind: Kind,
    folder: Path,
    *,
    password: str | None = None,
    durable: bool = True,
    settings: Mapping[str, str] | None = None,
) -> Database:
    """Return a database server that is not started yet; a native one with these ``settings`` too."""
    if kind is Kind.GIVEN:
        return given.GivenPostgres()
    if kind is Kind.DOCKER:
        return containers.PostgresContainer(password=password)
    return Postgres(folder, password=password, durable=durable, settings=settings)


def object_store(
    kind: Kind, folder: Path, *, access_key: str | None = None, secret_key: str | None = None
) -> Objects:
    """Return an S3 service that is not started yet."""
    if kind is Kind.GIVEN:
        return given.GivenObjectStore()
    if kind is Kind.DOCKER:
        return containers.ObjectStoreContainer(access_key=access_key, secret_key=secret_key)
    return ObjectStore(folder, access_key=access_key, secret_key=secret_key)
