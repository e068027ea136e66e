"""The README's table of services, made from the catalogue and the topology."""

from collections.abc import Iterable

from laundry.marks import replaced
from laundry.paths import PROJECT
from laundry_catalogue import SERVICES, Service
from laundry_events.events import EVENTS
from laundry_events.topology import PLAN

FILE = PROJECT / "README.md"


def text(present: str, services: Iterable[Service] = SERVICES) -> str:
    """Return the README with a row for each service: what it takes and what it gives."""
    lines = ["| service | takes | gives |", "| --- | --- | --- |"]
    published = {each.name: each.publishes for each in PLAN.services}
    for service in services:
        consumed = [key for queue in PLAN.consumed_by(service.name) for key in queue.keys if not queue.every]
        takes = _cell(consumed, service.takes)
        gives = _cell(published.get(service.name, ()), service.gives)
        replicas = service.processes[0].replicas
        times = f" ×{replicas}" if replicas > 1 else ""
        lines.append(f"| [{service.name}](services/{service.name}){times} | {takes} | {gives} |")
    return replaced(present, "services", "\n".join(lines))


def _cell(routing_keys: Iterable[str], said: str) -> str:
    events = {event.routing_key: event.event_type for event in EVENTS}
    return ", ".join([*(events[key] for key in routing_keys if key in events), *([said] if said else [])])
