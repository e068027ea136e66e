"""``laundry compose-env`` and ``laundry check-deploy``."""

import asyncio
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from laundry.display import console
from laundry.paths import StackPaths, stack_paths
from laundry_servers.errors import LaundryError


def compose_env(
    port: Annotated[
        list[str] | None, typer.Option(help="A host port, e.g. WEB_PORT=8090; may be repeated.")
    ] = None,
    cluster: Annotated[
        bool | None,
        typer.Option("--cluster/--no-cluster", help="Three brokers behind HAProxy; else as it was."),
    ] = None,
    observe: Annotated[
        bool | None,
        typer.Option("--observe/--no-observe", help="Traces, metrics and alerts; else as it was."),
    ] = None,
) -> None:
    """Write var/compose.env (random passwords, kept if there) and the files that Compose mounts."""
    from laundry.deploy import environment  # noqa: PLC0415 - the event library is slow to import

    ports: dict[str, int] = {}
    for entry in port or []:
        name, _, number = entry.partition("=")
        if name not in environment.HOST_PORTS or not number.isdecimal() or not 0 < int(number) < 65536:
            known = ", ".join(environment.HOST_PORTS)
            raise LaundryError(f"--port is NAME=number with one of {known}; got {entry!r}.")
        ports[name] = int(number)
    env_file = environment.write(stack_paths(), ports=ports, cluster=cluster, observe=observe)
    start = f"docker compose --env-file {env_file} up --build --wait --detach"
    console.print(f"Wrote {env_file}. Start: {start}", soft_wrap=True)


def check_deploy(
    fetch: Annotated[
        bool,
        typer.Option(
            "--fetch",
            help="Put missing tools into the cache folder (helm: 15 MB, schemas: 22 MB, promtool: 94 MB).",
        ),
    ] = False,
) -> None:
    """Check Dockerfile, Compose and the Helm chart; says what this machine could not check."""
    from laundry.deploy import check  # noqa: PLC0415 - the event library is slow to import

    signs = {check.State.OK: "[green]✓[/green]", check.State.FAILED: "[red]✗[/red]", check.State.SKIPPED: "–"}
    out, seen = Console(highlight=False), []
    for outcome in check.run(fetch=fetch):
        out.print(f"{signs[outcome.state]} {outcome.name}: {outcome.state}: {escape(outcome.text)}")
        seen.append(outcome.state)
    counts = ", ".join(f"{seen.count(state)} {state}" for state in check.State)
    out.print(counts)
    raise typer.Exit(1 if check.State.FAILED in seen else 0)


def check_images() -> None:
    """Build every image and tell the demo's story in containers: with one broker, then with three.

    Skipped, with exit status 0, where no Docker engine answers.
    """
    from laundry.commands.demo import tell  # noqa: PLC0415 - the story is slow to import
    from laundry.deploy import images_in_use  # noqa: PLC0415 - as above

    def story(paths: StackPaths) -> bool:
        document = json.loads((paths.var / "compose" / "stack.json").read_text())
        return asyncio.run(tell(paths, document, None, 6, 0.0, on_pages=False))

    out = Console(highlight=False, soft_wrap=True, markup=False)
    skipped = images_in_use.check(story, out.print)
    if skipped is not None:
        out.print(f"– Images: skipped: {skipped}.")
