"""What the running stack writes: ``var/stack.json`` for clients, notes on processes for status and down."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from laundry.paths import StackPaths
from laundry.stack.environment import BUCKET
from laundry_events.topology import VHOST
from laundry_servers.addresses import BrokerAddress, ObjectStoreAddress, TlsFiles, amqp_url
from laundry_servers.errors import LaundryError
from laundry_servers.files import read_json, write_json
from laundry_servers.process import Process


def stack_document(
    *,
    urls: Mapping[str, str],
    broker: BrokerAddress,
    objects: ObjectStoreAddress,
    database_urls: Mapping[str, str],
    owner_urls: Mapping[str, str],
    pids: Mapping[str, int],
    metrics_urls: Mapping[str, str],
) -> dict[str, Any]:
    """Return the content of ``var/stack.json``; the broker's addresses are the administrator's."""
    login = f"{quote(broker.username, safe='')}:{quote(broker.password, safe='')}@"
    return {
        **urls,
        "amqp_urls": [
            amqp_url(url, username=broker.username, password=broker.password, vhost=VHOST)
            for url in broker.amqp_urls
        ],
        "management_urls": [url.replace("://", f"://{login}", 1) for url in broker.management_urls],
        "mqtt_url": broker.mqtt_url,
        # Whom to trust, and who the administrator is; nothing if nothing is encrypted.
        "tls": {
            "ca_file": str(broker.tls.ca_file),
            "certificate": str(broker.tls.certificate_of(broker.username)),
        }
        if broker.tls
        else None,
        "s3": {
            "endpoint_url": objects.endpoint_url,
            "bucket": BUCKET,
            "access_key": objects.access_key,
            "secret_key": objects.secret_key,
        },
        "postgres_urls": dict(database_urls),
        "postgres_owner_urls": dict(owner_urls),
        "pids": dict(pids),
        "metrics_urls": dict(metrics_urls),
        "broker_metrics_urls": list(broker.prometheus_urls),
    }


def write_processes(
    paths: StackPaths,
    processes: Sequence[Process],
    *,
    ready: bool,
    servers: str,
    restarts: Mapping[str, int],
) -> None:
    """Write which process has which id, with start times that tell a reused id apart."""
    entries = []
    for process in processes:
        pid, wrapper = process.pid, process.wrapper_pid
        entries.append(
            {
                "name": process.name,
                "pid": pid,
                "root_pid": wrapper,
                "started_at": process.started_at,
                "port": process.port,
                "health_url": process.health_url,
                "restarts": restarts.get(process.name, 0),
                "exit_status": process.exit_status,
                "log": str(process.log_file),
            }
        )
    own = psutil.Process()
    content = {
        "supervisor": {"pid": own.pid, "created_at": own.create_time()},
        "ready": ready,
        "servers": servers,
        "processes": entries,
        "written_at": time.time(),
    }
    write_json(paths.processes_file, content)


def supervisor(paths: StackPaths) -> psutil.Process | None:
    """Return the living supervisor of a stack, or None; a reused process id is not taken for it."""
    notes = read_json(paths.processes_file)
    if notes is None:
        return None
    with suppress(psutil.Error):
        process = psutil.Process(notes["supervisor"]["pid"])
        same = abs(process.create_time() - notes["supervisor"]["created_at"]) < 1
        if same and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def running_stack(paths: StackPaths) -> dict[str, Any]:
    """Return ``var/stack.json`` of a running stack. Raises LaundryError when none runs, or none is ready."""
    document: dict[str, Any] | None = read_json(paths.stack_file)
    if supervisor(paths) is None:
        raise LaundryError("The stack is not running. Start it: laundry up --detach")
    if document is None:
        raise LaundryError("The stack is starting or stopping. Wait until it is ready: laundry status")
    return document


def started(paths: StackPaths) -> list[str]:
    """Return the names of a running stack's processes, also of those that are being started again."""
    notes: dict[str, Any] = read_json(paths.processes_file) or {"processes": []}
    return [each["name"] for each in notes["processes"]]


def left_out(*names: str) -> LaundryError:
    """Return what to say of services, or processes, that this stack was started without (``up --only``)."""
    does = "does" if len(names) == 1 else "do"
    return LaundryError(
        f"{', '.join(names)} {does} not run in this stack; what does: laundry status. "
        "To start everything: laundry down, then laundry up --detach"
    )


def tls_of(document: Mapping[str, Any]) -> TlsFiles | None:
    """Return whom a stack's clients trust and what they show; None if its broker is not encrypted."""
    found: dict[str, str] | None = document.get("tls")
    return None if found is None else TlsFiles(Path(found["ca_file"]).parent, Path(found["ca_file"]))


def forget(paths: StackPaths) -> None:
    """Remove what describes a stack that no longer runs."""
    paths.stack_file.unlink(missing_ok=True)
    paths.processes_file.unlink(missing_ok=True)
    paths.changes_file.unlink(missing_ok=True)
