"""``laundry token``: an access token for the local stack."""

from typing import Annotated

import typer

from laundry.errors import LaundryError
from laundry.identity import ROLES, LocalIdentity
from laundry.paths import stack_paths


def token(
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}.")],
    branch: Annotated[
        list[str] | None, typer.Option(help="A branch the token is good for; may repeat.")
    ] = None,
    sub: Annotated[str | None, typer.Option(help="Who it names; for a device, the equipment's id.")] = None,
    hours: Annotated[float, typer.Option(min=0.001, help="How long it is valid.")] = 12.0,
) -> None:
    """Print a JWT that the local stack accepts."""
    if role not in ROLES:
        raise LaundryError(f"--role is one of {', '.join(ROLES)}, not {role!r}.")
    if role == "device" and sub is None:
        raise LaundryError(
            "--role device needs --sub with the equipment's id: a device posts only as itself."
        )
    identity = LocalIdentity(stack_paths().identity)
    typer.echo(identity.mint(role=role, branches=branch or [], subject=sub, seconds=int(hours * 3600)))
