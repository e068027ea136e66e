"""``laundry backup``: make backups, list them, restore one, and rehearse a disaster."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from laundry.backup import creating, local, places, restoring, system
from laundry.backup.manifest import Manifest
from laundry.backup.objects import Disagreement
from laundry.backup.restoring import Restored
from laundry.commands.audited import audited
from laundry.display import ConsoleProgress, console
from laundry.paths import stack_paths
from laundry_servers.errors import LaundryError

SHOWN_KEYS = 5
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Databases, broker and objects: backed up, listed, restored, rehearsed.",
)
At = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="FOLDER|s3://BUCKET/PREFIX",
        envvar="LAUNDRY_BACKUP_AT",
        help="Where backups are kept; var/backups if not given.",
        show_default=False,
    ),
]
CopyObjects = Annotated[
    bool, typer.Option("--objects", help="Also copy the photos and models, not only their list.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command()
def create(
    at: At = None,
    *,
    copy_objects: CopyObjects = False,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Remove all but so many of the newest backups afterwards.")
    ] = None,
    hold: Annotated[
        float,
        typer.Option(
            min=0,
            help="Seconds that services wait at most before they publish, until nothing is under way.",
        ),
    ] = creating.HOLD_SECONDS,
) -> None:
    """Back up every database as of one moment, the broker and the list of objects."""
    kept, progress = _place(at), ConsoleProgress()
    here = system.chosen(stack_paths())
    try:
        made = creating.create(here, kept, progress, copy_objects=copy_objects, hold_seconds=hold)
    finally:
        progress.close()
    found = made.manifest
    console.print(
        f"[green]✓[/green] {found.id} in {escape(str(kept))}: {len(found.revisions)} databases,"
        f" {found.objects.number:,} objects {'copied' if found.objects.copied else 'listed'},"
        f" {_size(found.total_bytes)}; publishing was held for {made.held_seconds:.1f} s"
    )
    _say_under_way(found)
    if keep is not None:
        for name in places.prune(kept, keep):
            console.print(f"removed {name}")


@app.command("list")
def list_backups(at: At = None) -> None:
    """Show the backups, the newest first."""
    kept = _place(at)
    entries = kept.entries()
    table = Table("backup", "as of", "objects", "size", "under way", "letters")
    # The next command needs it in full.
    table.columns[0].no_wrap = True
    for entry in entries:
        found = entry.manifest
        if found is None:
            table.add_row(entry.id, f"[red]{escape(entry.why_not)}[/red]", "-", "-", "-", "-")
            continue
        table.add_row(
            entry.id,
            f"{found.held_at:%H:%M:%S} UTC",
            f"{found.objects.number:,} {'copied' if found.objects.copied else 'listed'}",
            _size(found.total_bytes),
            str(sum(found.under_way.values())),
            str(sum(found.dead_letters.values())),
        )
    Console().print(table if entries else f"No backup in {escape(str(kept))}.")


@app.command()
def restore(
    name: Annotated[
        str | None, typer.Argument(help="Which backup; the newest if not given.", show_default=False)
    ] = None,
    at: At = None,
    *,
    yes: Yes = False,
) -> None:
    """Replace everything in the databases by a backup.

    The stack of this machine is stopped and started again. For another system (LAUNDRY_DATABASE_URL_HELPER
    and so on) its services must be stopped.
    """
    kept, progress, paths = _place(at), ConsoleProgress(), stack_paths()
    chosen = name or places.newest(kept)
    with tempfile.TemporaryDirectory(prefix="laundry-backup-") as scratch:
        folder = kept.fetch(chosen, Path(scratch))
        found = restoring.usable(folder)
        elsewhere = system.of_environment()
        _agree(
            f"This replaces what is in {'the databases' if elsewhere else paths.data} by {found.id}.", yes=yes
        )
        try:
            with audited("backup.restore", found.id, on_stack=False):
                restored = (
                    restoring.restore(elsewhere, folder, progress)
                    if elsewhere
                    else local.restore(paths, folder, progress)
                )
        finally:
            progress.close()
    _say_restored(restored)


@app.command()
def drill(at: At = None, *, copy_objects: CopyObjects = False, yes: Yes = False) -> None:
    """Back up the stack of this machine, destroy it, and restore it: how much is lost, and how long it takes.

    Its databases and its broker are destroyed, and with --objects the bucket too.
    """
    kept, progress, paths = _place(at), ConsoleProgress(), stack_paths()
    _agree(f"This destroys the data of the running stack in {paths.data}, and restores it.", yes=yes)
    with tempfile.TemporaryDirectory(prefix="laundry-backup-") as scratch:
        try:
            with audited("backup.drill", str(paths.data), on_stack=False, objects=copy_objects):
                shown = local.drill(paths, kept, Path(scratch), progress, with_objects=copy_objects)
        finally:
            progress.close()
    table = Table.grid(padding=(0, 2))
    table.add_row(
        "RPO", f"{shown.rpo_seconds:.1f} s: what was accepted between the backup and the destruction"
    )
    table.add_row("RTO", f"{shown.rto_seconds:.1f} s: from the destruction until everything was ready again")
    Console().print(table)
    _say_restored(shown.restored)


def _place(at: str | None) -> places.Folder | places.S3:
    return places.place(at or stack_paths().backups)


def _agree(what: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise LaundryError(f"{what} Say that you mean it: --yes")
    typer.confirm(f"{what} Continue?", abort=True)


def _say_restored(found: Restored) -> None:
    console.print(
        f"[green]✓[/green] {found.manifest.id} is restored: {len(found.manifest.revisions)} databases as of"
        f" {found.manifest.held_at:%Y-%m-%d %H:%M:%S} UTC, {found.objects:,} objects put back"
    )
    waiting = ", ".join(f"{name} {count:,}" for name, count in sorted(found.outbox.items()))
    console.print(f"Published again from the outboxes: {waiting or 'nothing was waiting'}")
    _say_under_way(found.manifest)
    if dead := sum(found.manifest.dead_letters.values()):
        console.print(
            f"Not put back: {dead:,} dead letters. They are in {creating.DEAD_LETTERS} of the backup."
        )
    _say_disagreement(found.disagreement)


def _say_under_way(found: Manifest) -> None:
    if found.under_way:
        queues = ", ".join(f"{name} {count:,}" for name, count in sorted(found.under_way.items()))
        console.print(
            "[yellow]Not covered[/yellow]: these messages were under way and are in no database of it: "
            + queues
        )


def _say_disagreement(found: Disagreement) -> None:
    if not found:
        console.print("Databases and bucket agree.")
        return
    for keys, what in (
        (found.missing, "objects are missing that the databases name"),
        (found.changed, "objects have another size than the databases say"),
        (found.without_row, "photos have no row, as those of after the backup (python -m helper.sweep)"),
    ):
        if keys:
            shown = ", ".join(keys[:SHOWN_KEYS]) + (", …" if len(keys) > SHOWN_KEYS else "")
            console.print(f"[yellow]{len(keys):,}[/yellow] {what}: {escape(shown)}")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
