"""Checks whether this code may use a database that a newer release may have migrated.

What a package knows is read from the text of its migrations, so that a running service needs neither alembic
nor Django for it. A migration that leaves the tables usable to the code before it says so with the line
``OLDER_CODE_MAY_RUN = True``; whoever migrates then notes in the database from which revision on code may
use it, which is how a release can be rolled back over one database.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from laundry_events.dsn import plain_dsn

REVISION = re.compile(r"^revision(?:: str)? = [\"']([^\"']+)[\"']", re.MULTILINE)
OLDER_CODE_MAY_RUN = re.compile(r"^OLDER_CODE_MAY_RUN = True$", re.MULTILINE)
ALEMBIC, DJANGO = "alembic_version", "django_migrations"
TIMEOUT_S = 5.0
AGAIN_AFTER_S = 5.0
AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

log = structlog.get_logger(__name__)


class NewerDatabase(Exception):
    """A newer release has migrated the database, and does not say that this code may use it."""

    def __init__(self, package: str, revision: str) -> None:
        super().__init__(
            f"the database of {package} is at revision {revision}, which this version does not know: it is"
            " older than the database. Install the version that migrated it or a newer one, or restore a"
            " backup that this version made"
        )


@dataclass(frozen=True, slots=True)
class Known:
    """The revisions that a package has, the oldest first.

    Attributes:
        app: Django's label of the app that they belong to; None if alembic applies them.
        usable_from: the oldest whose code may use tables of the newest.
    """

    revisions: tuple[str, ...]
    app: str | None
    usable_from: str

    @property
    def table(self) -> str:
        """The table that says what was applied."""
        return DJANGO if self.app else ALEMBIC


@cache
def known(package: str) -> Known | None:
    """Return a package's migrations; None if it has none."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0])
    if versions := sorted((folder / "migrations" / "versions").glob("[0-9]*.py")):
        return _known([(_revision(file), file.read_text()) for file in versions], None)
    for app in sorted(folder.glob("*/migrations")):
        if files := sorted(app.glob("[0-9]*.py")):
            return _known([(file.stem, file.read_text()) for file in files], app.parent.name)
    return None


def _known(found: Sequence[tuple[str, str]], app: str | None) -> Known:
    usable_from = found[-1][0]
    for (before, _), (_, text) in zip(reversed(found[:-1]), reversed(found), strict=False):
        if not OLDER_CODE_MAY_RUN.search(text):
            break
        usable_from = before
    return Known(tuple(revision for revision, _ in found), app, usable_from)


def _revision(file: Path) -> str:
    found = REVISION.search(file.read_text())
    if found is None:
        raise ValueError(f"{file} names no revision")
    return found[1]


async def applied(connection: "asyncpg.Connection[Any]", package: Known) -> str | None:
    """Return the newest revision that a database has; None before its first migration."""
    if await connection.fetchval("SELECT to_regclass($1)", f"public.{package.table}") is None:
        return None
    if package.app is None:
        found = await connection.fetchval("SELECT max(version_num) FROM alembic_version")
    else:
        query = "SELECT max(name) FROM django_migrations WHERE app = $1"
        found = await connection.fetchval(query, package.app)
    return None if found is None else str(found)


async def may_use(connection: "asyncpg.Connection[Any]", package: str) -> bool:
    """Compare a database with the code.

    Returns:
        False if a newer release migrated it and says that this one may use it nevertheless.

    Raises:
        NewerDatabase.
    """
    code = known(package)
    revision = None if code is None else await applied(connection, code)
    if code is None or revision is None or revision in code.revisions:
        return True
    usable_from = await connection.fetchval("SELECT obj_description($1::regclass)", f"public.{code.table}")
    if usable_from not in code.revisions:
        raise NewerDatabase(package, revision)
    return False


async def refuse_newer(package: str, database_url: str) -> bool:
    """Look at a service's database once.

    Returns:
        whether it answered.

    Raises:
        NewerDatabase: the service must not start.
    """
    try:
        connection = await asyncpg.connect(
            plain_dsn(database_url), timeout=TIMEOUT_S, command_timeout=TIMEOUT_S, statement_cache_size=0
        )
        try:
            if not await may_use(connection, package):
                log.warning("the database is newer than this code, which may use it", package=package)
        finally:
            await connection.close(timeout=TIMEOUT_S)
    except AWAY:
        return False
    return True


async def refuse_newer_once_seen(package: str, database_url: str) -> None:
    """Look until the database answers. Raises NewerDatabase."""
    while not await refuse_newer(package, database_url):  # noqa: ASYNC110 - no event tells of its return
        await asyncio.sleep(AGAIN_AFTER_S)
