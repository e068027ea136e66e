"""``laundry cluster check``."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="A real Kubernetes on a bare Debian machine.")


@app.callback()
def cluster() -> None:
    """A real Kubernetes on a bare Debian machine."""


@app.command()
def check(
    keep: Annotated[
        Path | None, typer.Option(help="Keep the servers' data and logs in this folder.", file_okay=False)
    ] = None,
) -> None:
    """Install the chart in a cluster, and upgrade, break, remove and install it again. Needs root on Debian 12 or newer.

    Kubernetes is compiled once (about seven minutes on two cores) and kept in the cache folder.
    """
    from laundry.display import ConsoleProgress  # noqa: PLC0415 - help needs none of it
    from laundry_cluster import check as checking  # noqa: PLC0415

    progress = ConsoleProgress()
    try:
        with tempfile.TemporaryDirectory(prefix="laundry-cluster-") as made:
            checking.run(keep.resolve() if keep else Path(made), progress)
    finally:
        progress.close()
