"""The catalogue. A new service is one entry here; ``laundry new service NAME`` writes it."""

from collections.abc import Iterable

from laundry_catalogue.model import Need, Process, Resources, Service

BACKENDS = (
    Service(
        name="helper",
        takes="photos, confirmations",
        needs=frozenset({Need.DATABASE, Need.OBJECTS}),
        port=8001,
        proxied=("labels", "photo-policies", "tasks"),
        # Uploads are taken while the broker is away.
        waits_for_broker=False,
        processes=(
            Process(
                name="helper",
                # As many as in a cluster: one alone takes no more uploads than one core has time for.
                copies=2,
                resources=Resources(
                    cpu="300m",
                    memory="160Mi",
                    memory_limit="1Gi",
                    container_memory="1G",
                    request_note="On a busy node requests are weights: uploads must not wait for readings. "
                    "30 a second each need 250m of both.",
                    limit_note="Two child processes decode what is not a JPEG and make pictures on request: "
                    "up to 300 MB each.",
                ),
            ),
        ),
    ),
    Service(
        name="ai-consumer",
        needs=frozenset({Need.OBJECTS, Need.MODELS}),
        processes=(
            Process(
                name="ai-consumer",
                replicas=3,
                cluster_replicas=3,
                niceness=19,
                resources=Resources(
                    cpu="250m",
                    memory="256Mi",
                    memory_limit="640Mi",
                    container_memory="768M",
                    limit_note="The largest accepted picture adds 230 MB while it is decoded.",
                ),
            ),
        ),
    ),
    Service(
        name="mlops",
        takes="training runs",
        needs=frozenset({Need.DATABASE, Need.AUDIT, Need.OBJECTS, Need.MODELS, Need.SIGNING, Need.TRAINING}),
        port=8005,
        proxied=("examples", "models", "training-runs"),
        processes=(
            Process(
                name="mlops",
                cluster_replicas=1,
                resources=Resources(
                    memory="192Mi",
                    memory_limit="320Mi",
                    container_memory="1G",
                    limit_note="In Compose, and with training.jobs: process, a run shares this limit, "
                    "which is then to be 1Gi.",
                ),
            ),
        ),
    ),
    Service(
        name="monitoring",
        takes="telemetry by HTTP and MQTT",
        needs=frozenset({Need.DATABASE, Need.AUDIT, Need.MQTT}),
        port=8002,
        proxied=("equipment", "faults", "telemetry"),
    ),
    Service(
        name="search",
        takes="tastes, branch preferences",
        needs=frozenset({Need.DATABASE}),
        port=8003,
        proxied=("branches", "customers"),
    ),
    Service(
        name="notification",
        gives="pushes through FCM and Web Push",
        needs=frozenset({Need.DATABASE, Need.PUSH}),
        port=8004,
        proxied=("customers", "devices", "notifications", "unsubscribe"),
        processes=(
            Process(name="notification", arguments=("api",)),
            Process(
                name="notification-faults",
                arguments=("faults",),
                note="Faults have their own process and connection, so that nothing else can delay them.",
            ),
        ),
    ),
    Service(
        name="operations",
        takes="a copy of every event, operators' requests",
        gives="queues, dead letters, redrive, who did what",
        needs=frozenset({Need.DATABASE, Need.AUDIT, Need.MANAGEMENT}),
        port=8007,
        proxied=("audit", "dead-letters", "jobs", "people", "queues"),
        # For the export of what they hold of a person.
        peers=("helper", "identity", "mlops", "monitoring", "notification", "search"),
        processes=(Process(name="operations", resources=Resources(cpu="50m", memory="96Mi")),),
    ),
    Service(
        name="identity",
        takes="invitations",
        gives="sign-in, people, branches, credentials of equipment",
        needs=frozenset({Need.DATABASE, Need.AUDIT, Need.PROVIDER}),
        port=8008,
        proxied=("branches", "equipment-credentials", "invitations", "people"),
        processes=(
            Process(
                name="identity",
                resources=Resources(
                    memory="160Mi",
                    memory_limit="320Mi",
                    container_memory="320M",
                    limit_note="Four passwords are hashed at once, with 19 MiB each.",
                ),
            ),
        ),
    ),
)

SERVICES = (
    *BACKENDS,
    Service(
        name="web",
        gives="the pages of helpers, owners, customers and operators; sign-in",
        needs=frozenset({Need.SESSIONS}),
        port=8080,
        peers=tuple(each.name for each in BACKENDS if each.proxied),
        edge=True,
        processes=(Process(name="web", resources=Resources(cpu="50m", memory="96Mi", memory_limit="192Mi")),),
    ),
)


def service(name: str) -> Service:
    """Find a service. Raises ``KeyError`` with the known names."""
    for each in SERVICES:
        if each.name == name:
            return each
    raise KeyError(f"no service {name!r} in the catalogue; there are {[each.name for each in SERVICES]}")


def proxied_services(services: Iterable[Service] = SERVICES) -> tuple[Service, ...]:
    """Return those whose HTTP people and devices reach through the web service."""
    return tuple(each for each in services if each.proxied)


def documented_services(services: Iterable[Service] = SERVICES) -> tuple[Service, ...]:
    """Return those whose API is a document in ``docs/api``."""
    return tuple(each for each in services if not each.edge)


def process_names(services: Iterable[Service] = SERVICES) -> tuple[str, ...]:
    """Return the names of all processes on one machine: ``helper``, ``ai-consumer-1`` and so on."""
    return tuple(name for each in services for process in each.processes for name in process.instances)


def copies_of(name: str, services: Iterable[Service] = SERVICES) -> tuple[str, ...]:
    """Return the names of all processes that share the port of one, itself included; else its own alone."""
    kinds = (process for each in services for process in each.processes if process.copies > 1)
    return next((kind.instances for kind in kinds if kind.name == name), (name,))


def database_owners(services: Iterable[Service] = SERVICES) -> dict[str, str]:
    """Return the package with the migrations of each database, by its name."""
    return {each.name: each.package for each in services if Need.DATABASE in each.needs}


def audited(services: Iterable[Service] = SERVICES) -> tuple[str, ...]:
    """Return the databases that keep an audit: another login than the service's owns their tables."""
    return tuple(each.name for each in services if Need.AUDIT in each.needs)


def letter_signers(services: Iterable[Service] = SERVICES) -> tuple[str, ...]:
    """Return the logins whose processes consume; each signs its dead letters with a key of its own."""
    return tuple(each.name for each in services if Need.CONSUMES in each.needs)


def broker_users(services: Iterable[Service] = SERVICES) -> tuple[str, ...]:
    """Return the broker users that the processes log in as."""
    return tuple(each.name for each in services if Need.BROKER in each.needs)
