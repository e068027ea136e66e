"""What is past its time goes, and nothing else."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from laundry_events.tables import inbox
from notification.repository.retention import Retention
from notification.service.housekeeping import Housekeeping
from notification.tables import devices, fault_alerts, match_quota, notifications, owner_branches

from .conftest import World

pytestmark = pytest.mark.servers


async def test_only_the_old_goes(alone: World) -> None:
    now = sa.func.now()
    async with alone.database.transaction() as session:
        for age, user in ((100, "old"), (80, "new")):
            then = now - timedelta(days=age)
            await session.execute(
                sa.insert(notifications).values(
                    id=sa.func.gen_random_uuid(),
                    user_id=user,
                    kind="equipment_fault",
                    about=f"fault:{user}",
                    event_id="e",
                    branch_id="b1",
                    texts={},
                    data={},
                    state="sent",
                    created_at=then,
                )
            )
            await session.execute(
                sa.insert(devices).values(
                    token=user,
                    user_id=user,
                    role="owner",
                    platform="ios",
                    language="ko",
                    branches=["b1"],
                    registered_at=now - timedelta(days=age * 3),
                )
            )
            await session.execute(
                sa.insert(owner_branches).values(branch_id="b1", user_id=user, seen_at=then)
            )
            await session.execute(
                sa.insert(inbox).values(
                    consumer="c", message_id=user, received_at=now - timedelta(days=age // 6)
                )
            )
            await session.execute(
                sa.insert(fault_alerts).values(
                    token="new", branch_id=user, quiet_until=now - timedelta(days=3 if user == "old" else 0)
                )
            )
            day = sa.func.current_date() - (0 if user == "new" else 3)
            await session.execute(sa.insert(match_quota).values(day=day, user_id=user, pushes=1))
    kept = Retention(
        history=timedelta(days=90), stale_device=timedelta(days=270), owner_known=timedelta(days=90)
    )
    await Housekeeping(alone.database, kept).tidy()
    async with alone.database.session() as session:
        for column in (
            notifications.c.user_id,
            devices.c.user_id,
            owner_branches.c.user_id,
            inbox.c.message_id,
            match_quota.c.user_id,
            fault_alerts.c.branch_id,
        ):
            assert (await session.execute(sa.select(column))).scalars().all() == ["new"]
