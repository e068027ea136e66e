"""``laundry up``, ``down``, ``status``, ``prepare``: the stack as a whole."""

import dataclasses
import json
import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from laundry.display import ConsoleProgress, console
from laundry.paths import StackPaths, stack_paths
from laundry.stack import detached, leftovers, report, secrets, state, stopping
from laundry.stack.environment import FIRST_OPERATOR, public_url
from laundry.stack.launch import Options
from laundry.stack.supervisor import Supervisor
from laundry_catalogue import SERVICES, Service, documented_services
from laundry_servers import choice, rootfs
from laundry_servers.choice import Kind
from laundry_servers.errors import LaundryError

ServersOption = Annotated[
    Kind,
    typer.Option(
        "--servers",
        help="Where RabbitMQ, PostgreSQL and S3 come from; auto: given, else docker, else native.",
    ),
]


def up(
    *,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once everything is ready.")] = False,
    nodes: Annotated[int, typer.Option(help="RabbitMQ nodes: 1, or 3 for a cluster.")] = 1,
    servers: ServersOption = Kind.AUTO,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the data of earlier runs first.")] = False,
    tls: Annotated[
        bool,
        typer.Option(
            "--tls",
            help="Encrypt what the broker says (AMQP, MQTT, management, between nodes) with certificates of "
            "a local authority: laundry tls show.",
        ),
    ] = False,
    training_data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the training photos (clothing/photos.csv), for full training runs; `make "
            "train-setup` makes the interpreter for them."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="SERVICE", help="Start this service, with the servers; may repeat."),
    ] = None,
) -> None:
    """Start every server and service; stays in the foreground until Ctrl-C unless --detach."""
    if nodes not in (1, 3):
        raise LaundryError("--nodes is 1 or 3: quorum queues need an odd number to agree.")
    if training_data is not None and not (training_data / "clothing" / "photos.csv").is_file():
        raise LaundryError(f"--training-data: there is no clothing/photos.csv in {training_data}.")
    paths, progress = stack_paths(), ConsoleProgress()
    options = Options(
        nodes=nodes,
        servers=servers,
        fresh=fresh,
        tls=tls,
        training_data=training_data.resolve() if training_data else None,
        services=_chosen(only or []),
    )
    began = time.monotonic()
    known = None if fresh else secrets.first_operator_password(paths)

    def ready(document: dict[str, Any]) -> None:
        progress.finished("Everything is ready", f"in {time.monotonic() - began:.1f} s")
        _where_to_go(paths, document)
        password = secrets.first_operator_password(paths)
        if password != known and "identity_url" in document:
            console.print(
                f"The first operator: [bold]{FIRST_OPERATOR}[/bold], password [bold]{password}[/bold]"
            )
            console.print(f"It is shown this once, and kept in {paths.secrets_file}.")
        if not detach:
            console.print("Ctrl-C stops everything.")

    try:
        if detach:
            ready(detached.start(paths, options, progress))
        else:
            Supervisor(paths, options, progress).run(ready)
    finally:
        progress.close()


def _chosen(names: list[str]) -> tuple[Service, ...]:
    """Return the services of these names in the catalogue's order; all if none is named."""
    known = {each.name for each in SERVICES}
    if unknown := sorted(set(names) - known):
        raise LaundryError(f"--only: no service {', '.join(unknown)}. There are: {', '.join(sorted(known))}.")
    chosen = tuple(each for each in SERVICES if not names or each.name in names)
    for each in chosen:
        if missing := set(each.peers) - {other.name for other in chosen}:
            raise LaundryError(f"--only: {each.name} calls {', '.join(sorted(missing))}: name these too.")
    return chosen


def down(
    wipe: Annotated[
        bool, typer.Option("--wipe", help="Also delete the stack's data, logs, passwords and certificates.")
    ] = False,
) -> None:
    """Stop the stack; also ends leftovers of a crashed one."""
    paths, progress = stack_paths(), ConsoleProgress()
    running = state.supervisor(paths)
    if running is not None:
        progress.started("Stopping")
        stopping.stop(running)
        progress.finished("Stopped")
    ended = leftovers.sweep(paths.var)
    if ended:
        progress.finished("Left by a crashed stack, ended", ", ".join(ended))
    if running is None and not ended:
        progress.finished("Nothing was running")
    state.forget(paths)
    if wipe:
        for folder in (paths.data, paths.logs, paths.tls):
            shutil.rmtree(folder, ignore_errors=True)
        paths.secrets_file.unlink(missing_ok=True)
        progress.finished("Data and logs deleted", f"{paths.data}, {paths.logs}")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show each process with its port, memory and health; exit status 1 unless all are healthy."""
    found = report.look(stack_paths())
    if as_json:
        content: dict[str, Any] = {"running": found.running, "ready": found.ready, "healthy": found.healthy}
        content["servers"] = found.servers
        content["processes"] = [dataclasses.asdict(process) for process in found.processes]
        typer.echo(json.dumps(content, indent=2))
    elif not found.running:
        console.print("The stack is not running. Start it: laundry up")
    else:
        _print_table(found)
    raise typer.Exit(0 if found.healthy else 1)


def _print_table(found: report.StackReport) -> None:
    still = "" if found.ready else "Still starting. "
    table = Table(caption=f"{still}Servers: {found.servers}", caption_justify="left")
    for name in ("process", "pid", "port", "RSS", "PSS", "up", "restarts", "health"):
        table.add_column(name, justify="left" if name in ("process", "health") else "right")
    for process in found.processes:
        colour = "green" if process.health == "ok" else "red"
        table.add_row(
            process.name,
            str(process.pid or "-"),
            str(process.port or "-"),
            _megabytes(process.rss_bytes),
            _megabytes(process.pss_bytes),
            "-" if process.uptime_seconds is None else _duration(process.uptime_seconds),
            str(process.restarts),
            f"[{colour}]{process.health}[/{colour}]",
        )
    table.add_section()
    total_rss = sum(process.rss_bytes for process in found.processes)
    total_pss = sum(process.pss_bytes for process in found.processes)
    table.add_row("all", "", "", _megabytes(total_rss), _megabytes(total_pss), "", "", "")
    Console().print(table)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _where_to_go(paths: StackPaths, document: dict[str, Any]) -> None:
    rows = {
        "pages": _address_for_people(document.get("web_url")),
        "operator's page": _page(_address_for_people(document.get("web_url")), "/operator?view=queues"),
        **{f"{each.name} API": _docs(document.get(each.url_key)) for each in documented_services()},
        "sign-in": _address_for_people(document.get("identity_url")),
        "mails": str(paths.mail) if "identity_url" in document else None,
        "pushes taken": f"{document['fcm_url']}/messages",
        "RabbitMQ": document["management_urls"][0].split("@")[-1],
        "addresses and passwords": str(paths.stack_file),
    }
    table = Table.grid(padding=(0, 2))
    for name, address in rows.items():
        if address:
            table.add_row(f"  {name}", str(address))
    console.print(table)
    console.print("A token: [bold]laundry token --role owner --branch b1[/bold]")


def _address_for_people(url: str | None) -> str | None:
    return None if url is None else public_url(url)


def _docs(url: str | None) -> str | None:
    return f"{url}/docs" if url else None


def _page(url: str | None, path: str) -> str | None:
    return f"{url.rstrip('/')}{path}" if url else None


def prepare(servers: ServersOption = Kind.AUTO) -> None:
    """Prepare what the native servers need, once per machine, ahead of the first start."""
    taken, progress = choice.choose(servers), ConsoleProgress()
    try:
        if taken.kind is Kind.NATIVE:
            root = rootfs.ensure(progress)
            progress.finished("RabbitMQ", f"{rootfs.rabbitmq_version(root)} in {root}")
        else:
            progress.finished("Nothing to make", str(taken))
    finally:
        progress.close()
