"""The table of service processes: what runs, how often, and what each needs."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Service:
    """One kind of process. ``user`` is whose broker login and database it takes (its own name by default)."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    replicas: int = 1
    user: str = ""
    broker: bool = True
    consumes: bool = False
    database: bool = False
    objects: bool = False
    models: bool = False
    signs: bool = False
    pushes: bool = False
    management: bool = False
    trains: bool = False
    niceness: int = 0
    peers: tuple[str, ...] = field(default=())
    # The key of var/stack.json that holds its address, if others may call it.
    url_key: str | None = None

    @property
    def login(self) -> str:
        """Name of its broker user and of its database."""
        return self.user or self.name

    @property
    def process_names(self) -> tuple[str, ...]:
        """Names of its processes."""
        if self.replicas == 1:
            return (self.name,)
        return tuple(f"{self.name}-{number}" for number in range(1, self.replicas + 1))


SERVICES = (
    Service("helper", "helper", consumes=True, database=True, objects=True, url_key="helper_url"),
    Service("ai-consumer", "ai_consumer", replicas=3, consumes=True, objects=True, models=True, niceness=19),
    Service(
        "mlops",
        "mlops",
        consumes=True,
        database=True,
        objects=True,
        models=True,
        signs=True,
        trains=True,
        url_key="mlops_url",
    ),
    Service("monitoring", "monitoring", consumes=True, database=True, url_key="monitoring_url"),
    Service("search", "search", database=True, url_key="search_url"),
    Service(
        "notification",
        "notification",
        ("api",),
        consumes=True,
        database=True,
        pushes=True,
        url_key="notification_url",
    ),
    Service(
        "notification-faults",
        "notification",
        ("faults",),
        user="notification",
        consumes=True,
        database=True,
        pushes=True,
    ),
    Service("operations", "operations", database=True, management=True, url_key="operations_url"),
    Service(
        "web",
        "web",
        broker=False,
        peers=("helper", "monitoring", "search", "notification", "mlops", "operations"),
        url_key="web_url",
    ),
)

AUDITED = ("mlops", "monitoring", "operations")
"""Databases that keep an audit: another login than the service's owns their tables."""


def database_owners(services: tuple[Service, ...] = SERVICES) -> dict[str, str]:
    """Return the package with the migrations of each database, by its name."""
    return {service.login: service.module for service in services if service.database}


def letter_signers(services: tuple[Service, ...] = SERVICES) -> tuple[str, ...]:
    """Return the logins whose processes consume; each signs its dead letters with a key of its own."""
    return tuple(dict.fromkeys(service.login for service in services if service.consumes))


def broker_users(services: tuple[Service, ...] = SERVICES) -> tuple[str, ...]:
    """Return the broker users that the processes log in as."""
    return tuple(dict.fromkeys(service.login for service in services if service.broker))
