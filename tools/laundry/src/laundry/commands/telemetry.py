"""``laundry telemetry``: turn the details of one service's traces off and on while it runs."""

import time
from typing import Annotated, Any

import httpx
import typer

from laundry.commands.audited import audited
from laundry.deploy.mirror import MOUNTED_MODE, mounted_folder
from laundry.paths import stack_paths
from laundry_catalogue import SERVICES, Process
from laundry_servers.errors import LaundryError
from laundry_servers.files import read_json, write_text

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Turn the details of one service's traces off and on while it runs.",
)

TAKES_S = 10.0
"""Processes look every two seconds."""

METRIC = "laundry_telemetry_detailed"
Name = Annotated[str, typer.Argument(help="The service, for example helper or notification-faults.")]


@app.command()
def on(service: Name) -> None:
    """Record the spans of its database and object store again."""
    _turn(service, "on")


@app.command()
def off(service: Name) -> None:
    """Leave out the spans of its database and object store; no trace breaks."""
    _turn(service, "off")


@app.command()
def show() -> None:
    """Show which processes record details."""
    for instance, said in _metrics(_all_processes()).items():
        typer.echo(f"{instance:24} {_word(said)}")


def _turn(service: str, wanted: str) -> None:
    process = _process(service)
    folder = mounted_folder(stack_paths().telemetry)
    with audited(f"telemetry.{wanted}", service):
        write_text(folder / process.name, f"{wanted}\n", mode=MOUNTED_MODE)
    said = _wait(process, float(wanted == "on"))
    for instance, value in said.items():
        typer.echo(f"{instance}: {_word(value)}")
    if not said:
        typer.echo("Nothing runs here that could be asked; processes read it within two seconds.")
    elif wanted == "on" and not all(said.values()):
        raise LaundryError(
            "No spans are exported: start the stack with OTEL_EXPORTER_OTLP_ENDPOINT set to a collector."
        )


def _wait(process: Process, value: float) -> dict[str, float | None]:
    ends_at = time.monotonic() + TAKES_S
    while True:
        said = _metrics([process])
        if all(each == value for each in said.values()) or time.monotonic() > ends_at:
            return said
        time.sleep(0.2)


def _process(service: str) -> Process:
    """Return the process of this name, which is also the service's name in traces and logs."""
    for process in _all_processes():
        if process.name == service:
            return process
    names = ", ".join(each.name for each in _all_processes())
    raise LaundryError(f"There is no service {service!r}. There are: {names}.")


def _all_processes() -> list[Process]:
    return [process for service in SERVICES for process in service.processes]


def _metrics(processes: list[Process]) -> dict[str, float | None]:
    """Return each running process's metrics; None for one that does not answer."""
    document: dict[str, Any] = read_json(stack_paths().stack_file) or {}
    urls: dict[str, str] = document.get("metrics_urls", {})
    with httpx.Client(timeout=5) as client:
        return {
            instance: _asked(client, urls[instance])
            for process in processes
            for instance in process.instances
            if instance in urls
        }


def _asked(client: httpx.Client, url: str) -> float | None:
    try:
        lines = client.get(url).text.splitlines()
    except httpx.TransportError:
        return None
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{METRIC} ")), None)


def _word(said: float | None) -> str:
    return "does not answer" if said is None else "details on" if said else "details off"
