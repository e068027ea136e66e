"""``laundry cluster check``."""

import signal
import tempfile
from pathlib import Path
from types import FrameType
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
    """Install the chart in a cluster; upgrade, break, remove and install it again. Needs root on Debian.

    Kubernetes is compiled once (about seven minutes on two cores) and kept in the cache folder.
    """
    from laundry.display import ConsoleProgress  # noqa: PLC0415 - help needs none of it
    from laundry_cluster import check as checking  # noqa: PLC0415

    progress = ConsoleProgress()
    # Whatever ends it, the cluster ends with it.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="laundry-cluster-") as made:
            checking.run(keep.resolve() if keep else Path(made), progress)
    finally:
        progress.close()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
