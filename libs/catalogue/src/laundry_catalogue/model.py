"""What there is to say of a service, as plain dataclasses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from laundry_events.topology import PLAN

KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class Need(StrEnum):
    """What a service asks of its surroundings: with it come addresses, logins and network paths."""

    BROKER = "broker"
    """Follows from the topology: the service is one of the plan's."""
    CONSUMES = "consumes"
    """Follows from the topology: it reads a queue, so it signs its dead letters."""
    DATABASE = "database"
    """A PostgreSQL database and login of its name, and migrations in its package."""
    AUDIT = "audit"
    """Another login owns its tables, so that the service can only add to its audit."""
    OBJECTS = "objects"
    """The bucket of photos and models."""
    MODELS = "models"
    """The models that are shipped with the code, and the public keys that signed ones are held against."""
    SIGNING = "signing"
    """The private key that signs models."""
    TRAINING = "training"
    """The right to start training runs: Jobs in a cluster."""
    PUSH = "push"
    """Firebase, or what stands in for it."""
    MANAGEMENT = "management"
    """The broker's management API."""
    PROVIDER = "provider"
    """It is the OpenID provider: the keys that sign tokens, and the first operator."""
    SESSIONS = "sessions"
    """It signs people in at the provider: its client's secret there, and the keys that seal cookies."""
    MQTT = "mqtt"
    """The broker asks it whether a piece of equipment may log in."""


def variable(pattern: str, service: str) -> str:
    """Return the name of a variable that belongs to one service: ``BROKER_PASSWORD_{}`` of ``ai-consumer``
    is ``BROKER_PASSWORD_AI_CONSUMER``.
    """
    return pattern.format(service.upper().replace("-", "_"))


def url_variable(service: str) -> str:
    """Return the variable in which those who call a service get its address."""
    return variable("LAUNDRY_{}_URL", service)


OF_THE_TOPOLOGY = frozenset({Need.BROKER, Need.CONSUMES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """How large one process may be.

    Attributes:
        cpu, memory: what Kubernetes reserves for it ("100m", "128Mi").
        memory_limit: beyond it Kubernetes ends it ("256Mi").
        container_memory: beyond it Docker ends it ("256M").
        request_note, limit_note: why, where the figures are not the usual ones.
    """

    cpu: str = "100m"
    memory: str = "128Mi"
    memory_limit: str = "256Mi"
    container_memory: str = "256M"
    request_note: str = ""
    limit_note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One kind of process of a service.

    Attributes:
        name: its name in the stack, in Compose and in the chart; the service's own for the first.
        arguments: what follows ``python -m <package>``.
        replicas: how many run on one machine.
        copies: how many of them share its port where no container is between: the kernel gives each a part of
            the connections. Containers and pods are behind an address of their own instead.
        cluster_replicas: how many run in a cluster, unless its values say otherwise.
        niceness: the priority of its processes where all share one machine: 0, or up to 19 to give way.
        note: why it is a process of its own.
    """

    name: str
    arguments: tuple[str, ...] = ()
    replicas: int = 1
    copies: int = 1
    cluster_replicas: int = 2
    niceness: int = 0
    note: str = ""
    resources: Resources = Resources()

    @property
    def instances(self) -> tuple[str, ...]:
        """Names of its replicas on one machine; the first of those that share a port bears its own."""
        if self.copies > 1:
            return (self.name, *(f"{self.name}-{number}" for number in range(2, self.copies + 1)))
        if self.replicas == 1:
            return (self.name,)
        return tuple(f"{self.name}-{number}" for number in range(1, self.replicas + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One folder of ``services/``, one image, one login.

    Attributes:
        name: kebab-case; the folder, the image, the broker user, the database and its role bear it.
        takes, gives: what it has from people and gives them, for the README; events are added to that.
        package: what ``python -m`` runs; the name in snake_case unless given.
        needs: what it asks for; what follows from the topology is added.
        port: where Compose publishes its HTTP on this machine; None if nobody calls it.
        proxied: first path segments of its HTTP that people and devices may reach as ``/api/<name>/…``.
        peers: services that it calls; it gets their addresses as ``LAUNDRY_<PEER>_URL``.
        edge: it faces the network outside and has no API document.
        waits_for_broker: Compose starts it only once the broker answers.
        environment: variables with the same value everywhere, such as ``{"LAUNDRY_MATCH_THRESHOLD": "0.5"}``.
        processes: the first answers at the service's address; one of the service's name unless given.

    Raises:
        ValueError: what is said contradicts itself.
    """

    name: str
    takes: str = ""
    gives: str = ""
    package: str = ""
    needs: frozenset[Need] = frozenset()
    port: int | None = None
    proxied: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    edge: bool = False
    waits_for_broker: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    processes: tuple[Process, ...] = ()

    def __post_init__(self) -> None:
        """Fill in what follows from the name and from the topology."""
        if not KEBAB.fullmatch(self.name):
            raise ValueError(f"a service's name is in kebab-case, not {self.name!r}")
        found: set[Need] = set()
        if self.name in {each.name for each in PLAN.services}:
            found.add(Need.BROKER)
        if PLAN.consumed_by(self.name):
            found.add(Need.CONSUMES)
        if unfounded := self.needs & OF_THE_TOPOLOGY - found:
            raise ValueError(
                f"{self.name}: {', '.join(unfounded)} is for the topology to say, which does not"
            )
        if Need.AUDIT in self.needs and Need.DATABASE not in self.needs:
            raise ValueError(f"{self.name}: an audit needs a database")
        if self.proxied and self.port is None:
            raise ValueError(f"{self.name}: what is proxied needs a port")
        object.__setattr__(self, "needs", self.needs | found)
        object.__setattr__(self, "package", self.package or self.name.replace("-", "_"))
        object.__setattr__(self, "processes", self.processes or (Process(name=self.name),))
        if self.processes[0].name != self.name:
            raise ValueError(f"{self.name}: its first process bears its name, not {self.processes[0].name!r}")

    @property
    def url_key(self) -> str:
        """The key of its address in ``var/stack.json``."""
        return f"{self.name.replace('-', '_')}_url"

    @property
    def port_variable(self) -> str:
        """The variable that names its port on this machine for Compose."""
        return variable("{}_PORT", self.name)
