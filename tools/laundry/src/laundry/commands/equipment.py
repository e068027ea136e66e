"""``laundry equipment``: what a machine in a branch would report."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from laundry.client import Caller
from laundry.paths import stack_paths
from laundry_servers.errors import LaundryError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Report telemetry as a machine would.")


@app.callback()
def group() -> None:
    """Keep ``fault`` a command of its own, however many there are."""


@app.command()
def fault(
    equipment: Annotated[str, typer.Argument(help="The equipment's id, for example washer-1.")],
    branch: Annotated[str, typer.Option(help="The branch where it stands.")],
    kind: Annotated[str, typer.Option(help="washer, dryer, boiler, ...")] = "washer",
    code: Annotated[str, typer.Option(help="The fault code that it reports.")] = "E21",
    clear: Annotated[bool, typer.Option("--clear", help="Report that nothing is wrong any more.")] = False,
) -> None:
    """Post telemetry as the equipment itself: a fault code, or with --clear none."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    sample = {"equipment_id": equipment, "branch_id": branch, "kind": kind, "recorded_at": now, "metrics": {}}
    if not clear:
        sample["fault_code"] = code
    with Caller(stack_paths(), role="device", branches=[branch], subject=equipment) as caller:
        taken = caller.call("POST", "monitoring", "/telemetry", json={"samples": [sample]})
        if not taken.get("accepted"):
            raise LaundryError(f"The sample was not taken: {taken}")
        typer.echo(f"{equipment}: {'nothing wrong' if clear else code} reported at {now}")
        typer.echo(f"Pushes: {caller.stack['fcm_url']}/messages")
