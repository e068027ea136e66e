"""What branches say about their photos."""

from datetime import UTC, datetime, timedelta

from helper import repository
from helper.repository import retention
from helper.retention import Limits, Policy
from laundry_service.storage.database import Database


class PhotoPolicies:
    """Reads and changes how long a branch keeps its photos."""

    def __init__(self, database: Database, limits: Limits) -> None:
        """Take the limits that hold where a branch has said nothing."""
        self._database = database
        self._limits = limits

    @property
    def unconfirmed_days(self) -> int:
        """How long photos are kept that nobody confirms."""
        return self._limits.unconfirmed // timedelta(days=1)

    async def of(self, branch_id: str) -> Policy:
        """Return what holds for a branch.

        Raises:
            DatabaseUnavailable.
        """
        async with repository.single(self._database) as connection:
            said = await retention.policy_of(connection, branch_id)
        return said or Policy(self._limits.confirmed // timedelta(days=1))

    async def change(self, branch_id: str, *, keep_days: int, keep_features: bool, by: str) -> None:
        """Store what a branch wants; photos that are past the new time go with the next look.

        Raises:
            DatabaseUnavailable: it may not be stored; sending it again is safe.
        """
        async with repository.transaction(self._database) as session:
            policy = Policy(keep_days, keep_features, by, datetime.now(UTC))
            await retention.set_policy(session, branch_id, policy)
