"""Opens the database and the store for a run, runs its steps, and closes them again."""

from typing import Protocol

from laundry_events import Outbox
from laundry_learning.sandbox.launcher import SidecarSandbox, sandbox_of
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore
from mlops.jobs.retrying_store import RetryingStore
from mlops.jobs.run import Run
from mlops.manifests import Manifests
from mlops.service.registry import Registry
from mlops.settings import Settings


class Steps(Protocol):
    """The steps of one run, of some kind."""

    def __init__(
        self, run: Run, settings: Settings, database: Database, store: ObjectStore, registry: Registry
    ) -> None: ...

    async def run(self) -> None:
        """Take all steps; how it ends otherwise, by an exception, ``Run`` records."""


async def take(kind: type[Steps], run_id: str, settings: Settings) -> int:
    """Run the steps of a run and record how it ended. Returns the exit code."""
    database = Database(settings.database_url.get_secret_value(), pool=2)
    store = RetryingStore(settings, at_once=4)
    manifests = Manifests(store, settings.model_signing_key, settings.model_public_keys)
    registry = Registry(database, store, Outbox(settings.service_name), manifests)
    run = Run(run_id, database, registry)
    try:
        async with run:
            await run.begin()
            sandbox = sandbox_of(settings.sandbox_socket)
            if isinstance(sandbox, SidecarSandbox):
                await sandbox.hold()
            await kind(run, settings, database, store, registry).run()
    finally:
        await database.close()
    return run.exit_code
