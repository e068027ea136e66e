"""``laundry runs``: start, follow and cancel training runs."""

import time
from enum import StrEnum
from typing import Annotated, Any

import httpx
import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from laundry.client import Caller
from laundry.commands.learn import out
from laundry.paths import stack_paths
from laundry_servers.errors import LaundryError

ENDED = ("succeeded", "failed", "cancelled")
LOOK_EVERY_S = 0.5
AWAY_S = 60.0

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="List, start, follow and cancel training runs."
)
Sub = Annotated[str, typer.Option(help="The operator who acts.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="As `laundry runs list` shows it.")]


class Kind(StrEnum):
    """What a run trains."""

    refit = "refit"
    full = "full"


def _caller(sub: str) -> Caller:
    return Caller(stack_paths(), role="operator", branches=[], subject=sub)


@app.command("list")
def list_runs(sub: Sub = "operator-1") -> None:
    """List the newest runs and their results."""
    with _caller(sub) as caller:
        runs = caller.call("GET", "mlops", "/training-runs?limit=50")["items"]
    if not runs:
        out.print("No training run yet. Start one: laundry runs start")
        return
    # Without a frame, so that an id fits beside the rest: the other commands take it whole.
    table = Table(box=None, pad_edge=False)
    table.add_column("run", no_wrap=True, min_width=36)
    for column in ("kind", "status", "begun", "what became of it"):
        table.add_column(column, overflow="fold")
    for run in runs:
        going = f" {run['progress']:.0%}" if run["status"] == "running" else ""
        table.add_row(
            run["id"],
            run["kind"],
            run["status"] + going,
            run["created_at"][5:16].replace("T", " "),
            _fate(run),
        )
    out.print(table)


@app.command()
def start(
    kind: Annotated[
        Kind, typer.Argument(help="refit: the last layer, seconds; full: the whole network, minutes.")
    ] = Kind.refit,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Do not wait for its end.")] = False,
    sub: Sub = "operator-1",
) -> None:
    """Start a run and follow it to its end; Ctrl-C stops following, not the run."""
    with _caller(sub) as caller:
        run = caller.call("POST", "mlops", "/training-runs", json={"kind": kind.value})
        typer.echo(f"{run['id']} is {run['status']}")
        if not detach:
            _follow(caller, run["id"])


@app.command()
def follow(run: Run, sub: Sub = "operator-1") -> None:
    """Follow a run to its end, with its log."""
    with _caller(sub) as caller:
        _follow(caller, run)


@app.command()
def log(run: Run, sub: Sub = "operator-1") -> None:
    """Print a run's log."""
    with _caller(sub) as caller:
        lines = caller.call("GET", "mlops", f"/training-runs/{run}/log")["items"]
    for line in lines:
        typer.echo(_line(line))
    if not lines:
        typer.echo("The run has said nothing yet.", err=True)


@app.command()
def cancel(run: Run, sub: Sub = "operator-1") -> None:
    """Cancel a run that is queued or running; its model is not kept."""
    with _caller(sub) as caller:
        found = caller.call("POST", "mlops", f"/training-runs/{run}/cancellation")
    typer.echo(f"{found['id']} is {found['status']}")


def _follow(caller: Caller, run_id: str) -> None:
    told: set[tuple[str, str]] = set()
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    heard_at = time.monotonic()
    with Progress(*columns, console=out, disable=not out.is_terminal) as progress:
        bar = progress.add_task(run_id, total=1.0)
        while True:
            try:
                run = caller.call("GET", "mlops", f"/training-runs/{run_id}")
                # Looked at after the run, so that nothing is missing once it has ended.
                lines = caller.call("GET", "mlops", f"/training-runs/{run_id}/log")["items"]
            except httpx.TransportError:
                # A run outlives the service, which is restarting just now.
                if time.monotonic() - heard_at > AWAY_S:
                    raise
                time.sleep(LOOK_EVERY_S)
                continue
            heard_at = time.monotonic()
            for line in lines:
                if (key := (line["created_at"], line["text"])) not in told:
                    told.add(key)
                    progress.console.print(_line(line), markup=False, soft_wrap=True)
            progress.update(bar, completed=run["progress"], description=run["status"])
            if run["status"] in ENDED:
                break
            time.sleep(LOOK_EVERY_S)
    _conclude(run)


def _conclude(run: dict[str, Any]) -> None:
    """Say how a run ended; one that failed or was cancelled is an error of the command."""
    decision = run["decision"] or {}
    for reason in decision.get("reasons", []):
        out.print(f"  {reason}", markup=False, soft_wrap=True)
    if run["status"] in ("failed", "cancelled"):
        raise LaundryError(f"The run {run['status']}: {run['error'] or 'no reason was given'}")
    out.print(_fate(run), soft_wrap=True)


def _fate(run: dict[str, Any]) -> str:
    if run["model_version"] is None:
        return run["error"] or ("no model" if run["status"] in ENDED else "")
    promoted = (run["decision"] or {}).get("promoted")
    return f"{run['model_version']} {'became the champion' if promoted else 'was not promoted'}"


def _line(line: dict[str, Any]) -> str:
    return f"{line['created_at'][11:19]} {line['text']}"
