"""The certificates of the running stack: what its listeners show, and renewing them without downtime."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

from laundry.paths import StackPaths
from laundry.stack import state
from laundry_servers import rootfs
from laundry_servers.authority import Authority
from laundry_servers.errors import LaundryError
from laundry_servers.files import read_json
from laundry_servers.rabbitmq_tls import reload_certificates
from laundry_service.telemetry.certificates import certificate_shown


@dataclass(frozen=True, slots=True)
class Listener:
    """An address of the stack that speaks TLS, with what it shows or why it shows nothing."""

    name: str
    address: str
    shown: x509.Certificate | None
    problem: str = ""


def running(paths: StackPaths) -> dict[str, Any] | None:
    """Return ``stack.json`` of a stack that runs with TLS, else None."""
    document: dict[str, Any] | None = read_json(paths.stack_file)
    return document if document and document.get("tls") and state.supervisor(paths) else None


def listeners(document: Mapping[str, Any]) -> list[Listener]:
    """Connect to every listener and return what it shows."""
    urls = {f"AMQP of node {number}": url for number, url in enumerate(document["amqp_urls"], start=1)}
    for number, url in enumerate(document["management_urls"], start=1):
        urls[f"management of node {number}"] = url
    urls["MQTT"] = document["mqtt_url"]
    own = Path(document["tls"]["certificate"])
    return [_look_at(name, url, own) for name, url in urls.items()]


def reload(paths: StackPaths, document: Mapping[str, Any]) -> None:
    """Have every running node reload the files. Raises LaundryError."""
    nodes = len(document["amqp_urls"])
    notes = read_json(paths.processes_file) or {"processes": []}
    ports = {each["name"]: each["port"] for each in notes["processes"] if each["pid"] is not None}
    alive = [number for number in range(1, nodes + 1) if f"rabbitmq-{number}" in ports]
    if not alive or "epmd" not in ports:
        raise LaundryError("No broker node runs. It reads its new certificate when it starts.")
    reload_certificates(
        rootfs.root_path(),
        paths.broker_data(nodes),
        Authority(paths.tls),
        node=alive[0],
        epmd_port=ports["epmd"],
    )


def rotate(paths: StackPaths, *, authority: bool, days: float) -> list[str]:
    """Renew every certificate and put it into use; returns the listeners that were checked.

    Connections that are open stay open; whoever connects from now on sees the new ones.

    Args:
        authority: whether another authority signs them. Both are trusted until ``finish``.

    Raises:
        LaundryError: a running listener still shows what it showed before.
    """
    ours, document = Authority(paths.tls), running(paths)
    if authority:
        ours.replace()
        if document is not None:
            # The broker must trust the new authority before a client shows a certificate signed by it.
            reload(paths, document)
    ours.renew(days=days)
    return _in_force(paths, ours, document)


def finish(paths: StackPaths) -> list[str]:
    """Trust the newest authority alone from now on. Raises LaundryError as ``rotate``."""
    ours = Authority(paths.tls)
    ours.forget()
    return _in_force(paths, ours, running(paths))


def _in_force(paths: StackPaths, ours: Authority, document: Mapping[str, Any] | None) -> list[str]:
    if document is None:
        return []
    reload(paths, document)
    now = {each.certificate.serial_number for each in ours.issued()}
    found = listeners(document)
    behind = [
        f"{each.name} ({each.problem or 'it still shows another'})"
        for each in found
        if each.shown is None or each.shown.serial_number not in now
    ]
    if behind:
        raise LaundryError(f"The new certificates are not in force everywhere: {', '.join(behind)}.")
    return [each.name for each in found]


def _look_at(name: str, url: str, own: Path) -> Listener:
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 0
    try:
        return Listener(name, f"{host}:{port}", certificate_shown(host, port, own=own))
    except OSError as error:
        return Listener(name, f"{host}:{port}", None, str(error))
