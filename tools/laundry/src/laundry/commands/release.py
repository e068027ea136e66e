"""``laundry release``: versions, changelog, chart, images, and what says of what they are made."""

from typing import Annotated

import typer
from rich.console import Console

from laundry.paths import PROJECT
from laundry.release.making import Release
from laundry.release.repository import Repository
from laundry.release.versions import Version


def release(
    version: Annotated[str, typer.Argument(help="MAJOR.MINOR.PATCH, higher than the last one.")],
    *,
    registry: Annotated[
        str, typer.Option(envvar="REGISTRY", help="Images are REGISTRY/helper:VERSION and so on.")
    ] = "laundry",
    publish: Annotated[
        bool, typer.Option("--publish", help="Push images, commit and tag. Without it nothing leaves build/.")
    ] = False,
) -> None:
    """Make a release in build/release/VERSION: versions, changelog, chart, images, SBOM and provenance.

    Refused with the reason where the working tree has changes, the version is not higher than the last one,
    nothing is under Unreleased, or the chart has the last release's version.
    """
    out = Console(highlight=False, soft_wrap=True, markup=False)
    making = Release(
        Version.parse(version),
        Repository(PROJECT),
        registry=registry,
        publish=publish,
        say=lambda text: out.print(f"✓ {text}"),
    )
    making.make()
    for text in making.not_done:
        out.print(f"– {text}")
    out.print(f"{making.folder} holds all of it.")
