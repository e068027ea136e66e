"""``laundry new``: what a developer adds to the repository."""

from typing import Annotated

import typer

from laundry.display import console
from laundry.paths import PROJECT
from laundry.scaffold import service as scaffold

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Add something to the repository.")


@app.callback()
def main() -> None:
    """Add something to the repository."""


@app.command()
def service(
    name: Annotated[str, typer.Argument(help="In kebab-case, for example lost-towels.")],
) -> None:
    """Make a service that works: it counts faults, has a test and a README that says what to change."""
    for path in scaffold.create(name, PROJECT):
        console.print(f"wrote {path.relative_to(PROJECT)}", highlight=False)
    console.print(
        f"Next: [bold]make setup contracts[/bold], then [bold]pytest services/{name}[/bold] and "
        f"[bold]laundry up[/bold]. What to change: services/{name}/README.md, docs/how-to/add-a-service.md."
    )
