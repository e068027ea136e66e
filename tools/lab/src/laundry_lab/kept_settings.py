"""Gives a process of the running stack back the settings that it had, whatever was measured with others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from laundry.paths import StackPaths
from laundry.stack import changes
from laundry.stack.restart import restart
from laundry_servers.files import read_json, write_json


@asynccontextmanager
async def kept_settings(paths: StackPaths, name: str, *settings: str) -> AsyncIterator[None]:
    """Start a process once more after the block, with the ``settings`` that were changed in it as before.

    What it was started with need not be known: where nobody had changed a setting, the change is forgotten.

    Raises:
        LaundryError: it did not start again.
    """
    before = changes.of_process(paths, name)
    try:
        yield
    finally:
        if _put_back(paths, name, {each: before.get(each) for each in settings}):
            await asyncio.to_thread(restart, paths, name)


def _put_back(paths: StackPaths, name: str, settings: dict[str, str | None]) -> bool:
    """Note settings as they were, None where there was none; returns whether one was another."""
    everything: dict[str, dict[str, str]] = read_json(paths.changes_file) or {}
    # Others may have changed other settings meanwhile.
    now = everything.get(name, {})
    then = {each: value for each, value in {**now, **settings}.items() if value is not None}
    if then == now:
        return False
    if then:
        everything[name] = then
    else:
        everything.pop(name, None)
    write_json(paths.changes_file, everything)
    return True
