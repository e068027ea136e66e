"""``laundry models``: the models, the champion, and the keys that sign models."""

from typing import Annotated, Any

import typer
from rich.table import Table

from laundry.client import Caller
from laundry.commands.audited import audited
from laundry.commands.learn import out
from laundry.paths import stack_paths
from laundry_reading.signing import SigningKey

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="List, promote and roll back models; make keys."
)
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


@app.command()
def keygen() -> None:
    """Make a random key pair for signing models; it is printed and not stored."""
    key = SigningKey.generate()
    with audited("models.keygen", key.public.id):
        typer.echo(f"LAUNDRY_MODEL_SIGNING_KEY={key.text}")
        typer.echo(f"LAUNDRY_MODEL_PUBLIC_KEYS={key.public.text}")
    typer.echo(
        f"""
The first line is a secret: only mlops may have it, and your vault. The second is none: mlops and every
ai-consumer need it (in the chart: `models.publicKeys` in the values; the first is `model-signing-key` in the
Secret of mlops). Signatures name this key {key.public.id}.

To replace a key that is in use, in this order:
1. add the new public key to LAUNDRY_MODEL_PUBLIC_KEYS, behind the old one and a comma, of every ai-consumer
   and of mlops, and restart them: both keys count now;
2. give mlops the new LAUNDRY_MODEL_SIGNING_KEY and restart it: it signs every manifest again;
3. take the old public key away everywhere and restart.
If somebody else knows the old key, do it in one step: until mlops has signed them again, replicas go on with
the model that they have, and restarted ones with the shipped one.""",
        err=True,
    )
