"""``laundry models``: which models there are, and which of them reads."""

from typing import Annotated, Any

import typer
from rich.table import Table

from laundry.client import Caller
from laundry.commands.learn import out
from laundry.paths import stack_paths

app = typer.Typer(no_args_is_help=True, add_completion=False, help="List, promote and roll back models.")
Sub = Annotated[str, typer.Option(help="The operator who acts.")]


def _caller(sub: str) -> Caller:
    return Caller(stack_paths(), role="operator", branches=[], subject=sub)


@app.command("list")
def list_models(sub: Sub = "operator-1") -> None:
    """List models, newest first, with what judging found."""
    with _caller(sub) as caller:
        models = caller.call("GET", "mlops", "/models?limit=200")["items"]
    table = Table()
    for column in ("", "version", "source", "top-1", "judged", "made"):
        table.add_column(column)
    for model in models:
        verdict = model["verdict"]
        judged = "-" if verdict is None else ("good" if verdict["good"] else "refused")
        top1 = model["metrics"].get("top1")
        table.add_row(
            "★" if model["champion"] else "",
            model["version"],
            model["source"],
            "-" if top1 is None else f"{top1:.1%}",
            judged,
            model["created_at"][:16],
        )
    out.print(table)


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="As `laundry models list` shows it.")],
    override_reason: Annotated[
        str | None, typer.Option(help="Why, against the verdict; kept with your name.")
    ] = None,
    sub: Sub = "operator-1",
) -> None:
    """Make a model the champion."""
    body: dict[str, Any] = {} if override_reason is None else {"override_reason": override_reason}
    with _caller(sub) as caller:
        model = caller.call("POST", "mlops", f"/models/{version}/promotion", json=body)
    typer.echo(f"{model['version']} is the champion")


@app.command()
def rollback(sub: Sub = "operator-1") -> None:
    """Make the former champion the champion again."""
    with _caller(sub) as caller:
        model = caller.call("POST", "mlops", "/models/rollback")
    typer.echo(f"{model['version']} is the champion again")
