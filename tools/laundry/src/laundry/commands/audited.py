"""Audits what a person does to the stack with this command, before and after the act."""

import asyncio
import json
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg

from laundry.display import fail
from laundry.paths import stack_paths
from laundry.stack import state
from laundry_servers.errors import LaundryError
from laundry_servers.files import read_json
from laundry_service.audit.acts import COLUMNS, Act, Actor, row_of

INSERT = f"INSERT INTO audit ({', '.join(COLUMNS)}) VALUES ($1, $2, $3, $4, $5, $6)"  # noqa: S608
TIMEOUT_SECONDS = 5.0
FILE = "acts.jsonl"
LEFT_OPEN = "It stays recorded as asked, without its end."


@contextmanager
def audited(
    action: str, what: str, *, reason: str | None = None, on_stack: bool = True, **details: Any
) -> Iterator[None]:
    """Record an act in the audit: as asked before it, as done or failed after it.

    Where no stack runs, or ``on_stack`` is false as another system is acted on, the audit is a file.

    Raises:
        LaundryError: it cannot be recorded. Before the act, nothing is done then; after it, it was. Where
            the act itself fails, its own error is raised.
    """
    actor = Actor(person(None), "shell")
    act = Act(action, what, actor, reason, outcome="asked", via="cli", details=details)
    if why := _keep(act, on_stack=on_stack):
        raise LaundryError(f"The audit cannot be written, so nothing was done: {why}")
    try:
        yield
    except BaseException:
        if why := _keep(replace(act, outcome="failed"), on_stack=on_stack):
            fail(f"{action} {what} failed, and the audit cannot be written: {why}. {LEFT_OPEN}")
        raise
    if why := _keep(replace(act, outcome="done"), on_stack=on_stack):
        raise LaundryError(f"{action} {what} was done, but the audit cannot be written: {why}. {LEFT_OPEN}")


def person(by: str | None) -> str:
    """Return the acting user. Environment variables are ignored, except the user that sudo names."""
    if by:
        return by
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid {os.getuid()}"
    before = os.environ.get("SUDO_USER")
    return f"{name} (sudo by {before})" if before and before != name else name


def _keep(act: Act, *, on_stack: bool) -> str | None:
    """Record an act; returns why it could not be, or None."""
    try:
        url = _database() if on_stack else None
        if url is None:
            _append(act)
        else:
            asyncio.run(_insert(url, act))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return f"{type(error).__name__} {error}".rstrip()
    return None


def _database() -> str | None:
    paths = stack_paths()
    document: dict[str, Any] | None = read_json(paths.stack_file)
    if document is None or state.supervisor(paths) is None:
        return None
    url: str | None = document.get("postgres_urls", {}).get("operations")
    return url


async def _insert(url: str, act: Act) -> None:
    connection = await asyncpg.connect(url, timeout=TIMEOUT_SECONDS, command_timeout=TIMEOUT_SECONDS)
    try:
        row = row_of(act, datetime.now(UTC))
        await connection.execute(INSERT, *(row[name] for name in COLUMNS))
    finally:
        await connection.close(timeout=TIMEOUT_SECONDS)


def _append(act: Act) -> None:
    folder = stack_paths().var / "audit"
    folder.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(act.record(datetime.now(UTC)), ensure_ascii=False) + "\n").encode()
    file = os.open(folder / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line)
        os.fsync(file)
    finally:
        os.close(file)
