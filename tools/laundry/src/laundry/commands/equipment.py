"""``laundry equipment``: the credentials of machines, and what one in a branch would report."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from laundry.client import Caller
from laundry.commands.people import AsJson, Sub, operator, show
from laundry.paths import stack_paths
from laundry_servers.errors import LaundryError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Give machines credentials; report telemetry as a machine would.",
)
CREDENTIALS = "/equipment-credentials"
Equipment = Annotated[str, typer.Argument(help="The equipment's id, for example washer-1.")]
Branch = Annotated[str, typer.Option(help="The branch where it stands.")]
Why = Annotated[str | None, typer.Option(help="Why; kept in the audit.")]


@app.command()
def fault(
    equipment: Equipment,
    branch: Branch,
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


@app.command("list")
def list_credentials(
    branch: Annotated[str | None, typer.Option(help="Only of machines there.")] = None,
    *,
    sub: Sub = "operator-1",
    as_json: AsJson = False,
) -> None:
    """Show which machines have a credential; secrets are not kept."""
    with operator(sub) as caller:
        found = list(caller.pages("identity", CREDENTIALS, branch_id=branch))
    columns = ["equipment_id", "branch_id", "client_id", "created_by", "created_at", "rotated_at"]
    show(found, columns, as_json=as_json)


@app.command()
def add(equipment: Equipment, branch: Branch, *, sub: Sub = "operator-1", as_json: AsJson = False) -> None:
    """Give a machine a credential, good for HTTP and MQTT; its secret is printed this once."""
    body = {"equipment_id": equipment, "branch_id": branch}
    with operator(sub) as caller:
        _tell(caller.call("POST", "identity", CREDENTIALS, json=body), as_json=as_json)


@app.command()
def rotate(
    equipment: Equipment,
    branch: Branch,
    reason: Why = None,
    *,
    sub: Sub = "operator-1",
    as_json: AsJson = False,
) -> None:
    """Replace a machine's secret; the old one, and tokens got with it, end now."""
    with operator(sub) as caller:
        path = f"{CREDENTIALS}/{_credential(caller, equipment, branch)}/rotation"
        _tell(caller.call("POST", "identity", path, params=_why(reason)), as_json=as_json)


@app.command()
def revoke(equipment: Equipment, branch: Branch, reason: Why = None, sub: Sub = "operator-1") -> None:
    """End a machine's credential: it is cut off, by HTTP and MQTT, until it is given another."""
    with operator(sub) as caller:
        path = f"{CREDENTIALS}/{_credential(caller, equipment, branch)}"
        caller.call("DELETE", "identity", path, params=_why(reason))
    typer.echo(f"{equipment} in {branch} is cut off.")


def _credential(caller: Caller, equipment: str, branch: str) -> str:
    for each in caller.pages("identity", CREDENTIALS, branch_id=branch, equipment_id=equipment):
        return str(each["id"])
    raise LaundryError(f"{equipment} in {branch} has no credential. See: laundry equipment list")


def _why(reason: str | None) -> dict[str, str]:
    return {} if reason is None else {"reason": reason}


def _tell(made: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(made))
        return
    for name in ("client_id", "client_secret", "token_url"):
        typer.echo(f"{name}={made[name]}")
    typer.echo(
        "The secret is shown this once: put it into the machine now. docs/telemetry.md says how.", err=True
    )
