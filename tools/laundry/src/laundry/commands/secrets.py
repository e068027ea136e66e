"""``laundry secrets``: new passwords and keys for the running stack, without losing anything."""

from enum import StrEnum
from typing import Annotated

import typer

from laundry.commands.audited import audited
from laundry.display import ConsoleProgress
from laundry.paths import stack_paths
from laundry.stack.rotation import KEYS, Rotation
from laundry_servers.errors import LaundryError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Passwords and keys; in a cluster: docs/operations/rotation.md.",
)


class What(StrEnum):
    """What can be changed while the stack of this machine runs."""

    BROKER = "broker"
    DATABASE = "database"
    S3 = "s3"
    LETTERS = "letters"
    IDENTITY = "identity"
    COOKIES = "cookies"
    SESSIONS = "sessions"


@app.callback()
def _several() -> None:
    """Keep ``rotate`` a word of its own."""


@app.command()
def rotate(
    what: Annotated[What, typer.Argument(help="Passwords of broker, database or S3; or keys.")],
    services: Annotated[
        list[str] | None, typer.Argument(help="Of these services only.", show_default=False)
    ] = None,
    *,
    finish: Annotated[
        bool, typer.Option("--finish", help="Of keys: take the old ones no longer, and make no new one.")
    ] = False,
) -> None:
    """Change passwords or keys: each process is restarted with the new one, one after another.

    Keys that were replaced are still taken until --finish, after a second change too.

    To drop a key that others know, use --finish at once: what it or an older one signed is refused then.
    """
    if finish and what in (What.BROKER, What.DATABASE, What.S3):
        raise LaundryError(f"--finish is for keys that sign. Of {what} no old one is taken afterwards.")
    if services and (what.value in KEYS or what is What.S3):
        raise LaundryError(f"{what} has one key only: name no service.")
    progress = ConsoleProgress()
    step = f"{'Withdrawing old keys' if finish else 'Rotating'}: {what}"
    progress.started(step)
    try:
        with audited("secrets.rotate", what, services=services or [], finish=finish):
            work = Rotation(stack_paths(), lambda text: progress.note(step, text))
            match what:
                case What.BROKER:
                    work.broker(services or [])
                case What.DATABASE:
                    work.database(services or [])
                case What.S3:
                    work.objects()
                case What.LETTERS:
                    work.letters(services or [], finish=finish)
                case _:
                    work.key(KEYS[what.value], finish=finish)
        progress.finished(step)
    finally:
        progress.close()
