"""``laundry upload``: photos of laundry, as a helper sends them."""

import mimetypes
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from laundry.client import Caller
from laundry.display import console
from laundry.paths import stack_paths
from laundry_servers.errors import LaundryError

TRIES = 3
POLL_SECONDS = 0.2


def upload(  # noqa: PLR0917 - the command line names its options
    photos: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="JPEG, PNG, WebP, HEIC or AVIF files.")
    ],
    branch: Annotated[str, typer.Option(help="The branch whose laundry it is.")],
    note: Annotated[str | None, typer.Option(help="A remark for the owner.")] = None,
    sub: Annotated[str, typer.Option(help="The helper who uploads.")] = "helper-1",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the readings and print them.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for readings at most.")] = 120,
) -> None:
    """Upload photos; prints a line for each: task id, status, reading, milliseconds, file."""
    columns = (TextColumn("{task.description}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        Caller(stack_paths(), role="helper", branches=[branch], subject=sub) as caller,
        Progress(*columns, console=console, transient=True) as progress,
    ):
        tasks: dict[str, tuple[Path, float]] = {}
        bar = progress.add_task("uploading", total=len(photos))
        for photo in photos:
            began = time.perf_counter()
            task = _submit(caller, photo, branch, note)
            tasks[task["id"]] = (photo, (time.perf_counter() - began) * 1000)
            progress.advance(bar)
            if not wait:
                _print_task(task, *tasks[task["id"]])
        if not wait:
            return
        bar = progress.add_task("reading", total=len(tasks))
        deadline = time.monotonic() + timeout
        waiting = dict(tasks)
        while waiting:
            for task_id, (photo, milliseconds) in list(waiting.items()):
                task = caller.call("GET", "helper", f"/tasks/{task_id}")
                if task["status"] != "submitted":
                    _print_task(task, photo, milliseconds)
                    del waiting[task_id]
                    progress.advance(bar)
            if waiting and time.monotonic() > deadline:
                raise LaundryError(
                    f"{len(waiting)} photos were not read within {timeout:.0f} s. They are stored and will "
                    "be read later; see: laundry status, laundry dlq list"
                )
            if waiting:
                time.sleep(POLL_SECONDS)


def _submit(caller: Caller, photo: Path, branch: str, note: str | None) -> dict[str, Any]:
    media_type = mimetypes.guess_type(photo.name)[0] or "application/octet-stream"
    form = {"branch_id": branch} | ({"note": note} if note else {})
    for left in reversed(range(TRIES)):
        try:
            # Sending it again is harmless: the helper knows the same photo by its content.
            with photo.open("rb") as file:
                files = {"photo": (photo.name, file, media_type)}
                return caller.call("POST", "helper", "/tasks", data=form, files=files)
        except httpx.TransportError:
            if not left:
                raise
            time.sleep(1)
        except LaundryError as error:
            raise LaundryError(f"{photo}: {error}") from error
    raise AssertionError("unreachable")


def _print_task(task: dict[str, Any], photo: Path, milliseconds: float) -> None:
    labels = (task.get("reading") or {}).get("labels", [])
    reading = ", ".join(map(_words, labels)) or "-"
    typer.echo(f"{task['id']}\t{task['status']}\t{reading}\t{milliseconds:.0f} ms\t{photo}")


def _words(label: dict[str, Any]) -> str:
    count = f"{label['count']} × " if label["count"] > 1 else ""
    return f"{count}{label['label']} {label['confidence']:.0%}"
