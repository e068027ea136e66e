"""Tables of docs/operations/installing.md, made from the catalogue and the topology: sizes, ports, queues."""

from collections.abc import Iterable, Sequence

from laundry.marks import replaced
from laundry.paths import PROJECT
from laundry.topology import tables
from laundry_catalogue import SERVICES, Need, Process, Service
from laundry_events.topology import PLAN

FILE = PROJECT / "docs" / "operations" / "installing.md"
HTTP, METRICS = "8000", "9464"
UNITS = {"Ki": 1 / 1024, "Mi": 1, "Gi": 1024}
# What each need means on the network: whom it reaches, at which ports, for what.
REACHES = {
    Need.BROKER: ("broker", "5672, or 5671 with TLS", "AMQP"),
    Need.MANAGEMENT: ("broker", "15672, or 15671 with TLS", "management API"),
    Need.DATABASE: ("PostgreSQL", "5432", "its own database"),
    Need.OBJECTS: ("object store", "443", "S3"),
    Need.PUSH: ("FCM, push services of browsers", "443", "pushes"),
    Need.TRAINING: ("Kubernetes API", "443, 6443", "training runs as Jobs"),
    Need.PROVIDER: ("mail server", "587", "mails about passwords"),
}


def text(present: str) -> str:
    """Return the page with its tables as the code has them."""
    for name, table in (("sizes", _sizes()), ("ports", _ports()), ("queues", _queues())):
        present = replaced(present, name, table)
    return present


def ports(services: Iterable[Service] = SERVICES) -> list[tuple[str, str, str, str]]:
    """Return who reaches whom, at which ports, for what."""
    known = tuple(services)
    found = [
        ("people, equipment by HTTP", "Ingress", "443", "pages, API, sign-in"),
        ("Ingress", "web, identity", HTTP, "the same"),
    ]
    found += [(each.name, ", ".join(each.peers), HTTP, "their APIs") for each in known if each.peers]
    for need, (whom, numbers, what) in REACHES.items():
        if asking := [each.name for each in known if need in each.needs]:
            found.append((", ".join(asking), whom, numbers, what))
    found.append(
        ("every service", "identity, or your OpenID provider", f"{HTTP} or 443", "keys and deny list")
    )
    if asked := [each.name for each in known if Need.MQTT in each.needs]:
        found.append(("equipment", "broker", "1883, 8883 with TLS", "MQTT"))
        found.append(("broker", ", ".join(asked), HTTP, "whether equipment may log in"))
    return [
        *found,
        ("broker nodes", "each other", "4369, 25672, 35672 to 35682", "Erlang"),
        ("broker nodes", "each other", "6000 to 6500", "the copies of streams"),
        ("broker nodes", "Kubernetes API", "443, 6443", "finding each other"),
        ("Prometheus", "every process", METRICS, "`/metrics`"),
        ("Prometheus", "broker", "15692, or 15691 with TLS", "`/metrics`"),
        ("KEDA", "broker", "15672, or 15671 with TLS", "how much waits, if it scales"),
        ("`helm test`", "web", HTTP, "the way of a photo"),
        ("every process", "OpenTelemetry collector", "4318", "traces, if set"),
        ("migrations, backup", "PostgreSQL", "5432", "every database"),
        ("training runs", "PostgreSQL, object store", "5432, 443", "examples, models"),
        ("topology, backup", "broker", "5672, 15672, or 5671, 15671 with TLS", "plan, definitions"),
        ("backup", "object store", "443", "the list of objects; where backups are kept"),
        ("everything", "DNS", "53", "names"),
    ]


def sizes(services: Iterable[Service] = SERVICES) -> list[tuple[Process, int]]:
    """Return each process with its replicas in a cluster."""
    return [(process, process.cluster_replicas) for each in services for process in each.processes]


def _sizes() -> str:
    rows = [
        (
            f"`{process.name}`",
            str(replicas),
            process.resources.cpu,
            process.resources.memory,
            process.resources.memory_limit,
        )
        for process, replicas in sizes()
    ]
    cpu = sum(replicas * int(process.resources.cpu.removesuffix("m")) for process, replicas in sizes())
    asked = sum(replicas * _mebibytes(process.resources.memory) for process, replicas in sizes())
    limit = sum(replicas * _mebibytes(process.resources.memory_limit) for process, replicas in sizes())
    total = (
        "**all**",
        "",
        f"**{cpu / 1000:.3g} cores**",
        f"**{asked / 1024:.1f} Gi**",
        f"**{limit / 1024:.1f} Gi**",
    )
    return _table(
        ("process", "replicas", "processor, reserved", "memory, reserved", "memory, at most"), [*rows, total]
    )


def _ports() -> str:
    return _table(("from", "to", "ports (TCP; DNS also UDP)", "for"), ports())


def _queues() -> str:
    return _table(tables.QUEUE_COLUMNS, tables.queue_rows(PLAN))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _mebibytes(quantity: str) -> int:
    return int(float(quantity[:-2]) * UNITS[quantity[-2:]])
