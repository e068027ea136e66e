"""The command ``laundry cluster``."""

import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from laundry_servers.progress import Progress

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="A real Kubernetes on a bare Debian machine."
)


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

    Kubernetes is compiled once (two to four minutes on two cores) and kept in the cache folder.
    """
    from laundry_cluster import check as checking  # noqa: PLC0415 - help needs none of it

    with _reported() as progress, tempfile.TemporaryDirectory(prefix="laundry-cluster-") as made:
        checking.run(keep.resolve() if keep else Path(made), progress)


@app.command()
def up(
    folder: Annotated[Path, typer.Argument(help="Takes the servers' data and logs.", file_okay=False)],
) -> None:
    """Start a cluster with the chart's images and servers beside it, until Ctrl-C. For work on the chart."""
    from laundry_cluster import check as checking  # noqa: PLC0415 - help needs none of it

    with _reported() as progress, checking.up(folder.resolve(), progress):
        progress.started("Until Ctrl-C")
        signal.pause()


@app.command()
def steps(
    folder: Annotated[
        Path, typer.Argument(help="That of `laundry cluster up`.", file_okay=False, exists=True)
    ],
    *,
    since: Annotated[str | None, typer.Option("--from", help="This step and those after it.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="This step; may be repeated.")] = None,
) -> None:
    """Do the steps of the check in a cluster that is up."""
    from laundry_cluster import check as checking  # noqa: PLC0415 - help needs none of it
    from laundry_cluster.node import Cluster  # noqa: PLC0415
    from laundry_cluster.places import Places  # noqa: PLC0415

    with _reported() as progress:
        checking.do(Cluster(Places.usual()), folder.resolve(), checking.chosen(only or [], since), progress)


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(help="E.g. kubectl get pods --all-namespaces, or bash.")],
) -> None:
    """Run a program in the network of the cluster that is up, with its kubectl and helm."""
    from laundry_cluster.installation import at_hand  # noqa: PLC0415 - help needs none of it

    raise typer.Exit(at_hand(command))


@contextmanager
def _reported() -> Iterator[Progress]:
    from laundry.display import ConsoleProgress  # noqa: PLC0415 - help needs none of it

    progress = ConsoleProgress()
    try:
        yield progress
    finally:
        progress.close()
