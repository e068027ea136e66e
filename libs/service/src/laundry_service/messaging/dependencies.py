"""The dependencies of a consumer, as ``laundry_events`` expects them."""

from typing import TYPE_CHECKING

from laundry_events import Dependency
from laundry_service.storage.outages import is_outage

if TYPE_CHECKING:
    from laundry_service.storage.database import Database
    from laundry_service.storage.object_store import ObjectStore


def database_dependency(database: "Database") -> Dependency:
    """Hold messages while the service's PostgreSQL is away."""
    return Dependency("postgresql", _comes_from_outage, database.ping)


def _comes_from_outage(error: BaseException) -> bool:
    """Whether an outage is the error or one of its causes: services wrap it in their own errors."""
    found: BaseException | None = error
    while found is not None:
        if is_outage(found):
            return True
        found = found.__cause__
    return False


def object_store_dependency(store: "ObjectStore") -> Dependency:
    """Hold messages while S3 is away."""
    # Not every service that consumes has a store.
    from laundry_service.storage.object_store import ObjectStoreUnavailable  # noqa: PLC0415

    return Dependency("s3", lambda error: isinstance(error, ObjectStoreUnavailable), store.ping)
