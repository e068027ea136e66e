"""``laundry token``: access tokens of the local stack, and its deny list."""

import math
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import jwt
import typer

from laundry.commands.audited import audited
from laundry.deploy.mirror import mirror_identity
from laundry.paths import stack_paths
from laundry_servers.deny_list import Entry, LocalDenyList
from laundry_servers.errors import LaundryError
from laundry_servers.identity import ROLES, LocalIdentity, max_hours

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
IN_FORCE = "In force within a minute, in every service, on open streams and for MQTT."

app = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    help="Print a token; cut somebody off; rotate the key.",
)

Sub = Annotated[str | None, typer.Option(help="Who: the token's sub.")]
Jti = Annotated[str | None, typer.Option(help="One token: its jti.")]
Why = Annotated[str | None, typer.Option(help="Why; kept in the audit.")]


@app.callback()
def token(
    context: typer.Context,
    role: Annotated[str | None, typer.Option(help=f"One of {', '.join(ROLES)}. Required.")] = None,
    branch: Annotated[
        list[str] | None, typer.Option(help="A branch the token is good for; may be repeated.")
    ] = None,
    sub: Annotated[str | None, typer.Option(help="Who it names; for a device, the equipment's id.")] = None,
    hours: Annotated[float, typer.Option(min=0.001, help="How long it is valid.")] = 12.0,
) -> None:
    """Print a JWT that the local stack accepts: laundry token --role helper --branch b1."""
    if context.invoked_subcommand is not None:
        return
    if role is None:
        raise typer.BadParameter(f"needed, one of {', '.join(ROLES)}", ctx=context, param_hint="--role")
    if role not in ROLES:
        raise LaundryError(f"--role is one of {', '.join(ROLES)}, not {role!r}.")
    if role == "device" and sub is None:
        raise LaundryError(
            "--role device needs --sub with the equipment's id: a device posts only as itself."
        )
    if hours > max_hours(role):
        raise LaundryError(
            f"The services take a token of the role {role} for {max_hours(role):g} hours at most."
        )
    identity = LocalIdentity(stack_paths().identity)
    typer.echo(identity.mint(role=role, branches=branch or [], subject=sub, seconds=int(hours * 3600)))


@app.command()
def deny(  # noqa: PLR0917 - options of a command
    sub: Sub = None,
    jti: Jti = None,
    from_token: Annotated[
        bool, typer.Option("--from-token", help="The one token that comes by standard input.")
    ] = False,
    until: Annotated[str | None, typer.Option(help="When it ends: 12h, 7d, or 2026-12-01T09:00:00Z.")] = None,
    issued_before: Annotated[
        str | None, typer.Option(help="Only tokens issued before: now, or 2026-12-01T09:00:00Z.")
    ] = None,
    reason: Why = None,
) -> None:
    """Refuse a person, a device or one token before the token expires."""
    ends = None if until is None else _moment(until)
    if from_token:
        if jti is not None:
            raise LaundryError("Give --jti or --from-token, not both.")
        jti, ends = _read_token(ends)
    before = None if issued_before is None else _moment(issued_before)
    with audited("token.deny", _whom(sub, jti), reason=reason):
        entry = _list().deny(sub=sub, jti=jti, until=ends, issued_before=before)
        mirror_identity(stack_paths())
    typer.echo(f"Denied: {_words(entry)}. {IN_FORCE}")


@app.command()
def allow(sub: Sub = None, jti: Jti = None, reason: Why = None) -> None:
    """Remove somebody from the deny list."""
    with audited("token.allow", _whom(sub, jti), reason=reason):
        if not _list().allow(sub=sub, jti=jti):
            raise LaundryError("That is not on the list. See: laundry token denied")
        mirror_identity(stack_paths())
    typer.echo(f"Allowed again. {IN_FORCE}")


@app.command()
def denied() -> None:
    """Show the deny list, one entry per line."""
    for entry in _list().entries():
        typer.echo(_words(entry))


@app.command("rotate-key")
def rotate_key(
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="Keep publishing the old key, so that its tokens stay valid.")
    ] = False,
) -> None:
    """Sign with a new key; without --keep-old tokens of the old one are refused within two minutes."""
    with audited("key.rotate", "signing key", kept_old=keep_old):
        name = LocalIdentity(stack_paths().identity).rotate(keep_old=keep_old)
        mirror_identity(stack_paths())
    typer.echo(f"Tokens are signed with {name} from now on.")


@app.command("withdraw-keys")
def withdraw_keys() -> None:
    """Withdraw all keys but the newest: tokens signed by them are refused within two minutes."""
    with audited("key.withdraw", "signing keys"):
        number = LocalIdentity(stack_paths().identity).withdraw()
        mirror_identity(stack_paths())
    typer.echo(f"{number} withdrawn.")


def _list() -> LocalDenyList:
    return LocalDenyList(stack_paths().identity)


def _whom(sub: str | None, jti: str | None) -> str:
    return " ".join(f"{name} {value}" for name, value in (("sub", sub), ("jti", jti)) if value) or "nobody"


def _words(entry: Entry) -> str:
    return "  ".join(f"{name}={value}" for name, value in entry.items())


def _moment(text: str) -> datetime:
    """Read when: ``now``, a span from now, or a time with its zone. Raises LaundryError."""
    now = datetime.now(UTC)
    if text == "now":
        # Tokens say when they were issued in whole seconds: those of this one are from before, too.
        return datetime.fromtimestamp(math.floor(now.timestamp()) + 1, UTC)
    span = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if span:
        return now + timedelta(seconds=int(span[1]) * UNITS[span[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or "T" not in text or moment.tzinfo is None:
        raise LaundryError(f"{text!r} is no time. Write 12h, 7d, or 2026-12-01T09:00:00Z.")
    return moment


def _read_token(until: datetime | None) -> tuple[str, datetime | None]:
    """Return the id of the token on standard input, and when it ends. Raises LaundryError."""
    # By standard input: command lines are visible to everybody on the machine.
    try:
        claims = jwt.decode(sys.stdin.read(65_536).strip(), options={"verify_signature": False})
        jti, ends = claims["jti"], claims["exp"]
        return str(jti), until or datetime.fromtimestamp(ends, UTC) + timedelta(minutes=1)
    except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise LaundryError(f"That is no token with jti and exp ({type(error).__name__}).") from None
