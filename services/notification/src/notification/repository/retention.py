"""What is older than it is kept."""

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from laundry_events.inbox import expired as inbox_expired
from laundry_events.tables import inbox
from laundry_service.storage.slices import slice_of
from notification.tables import (
    devices,
    fault_alerts,
    match_quota,
    notifications,
    owner_branches,
    settled,
)


@dataclass(frozen=True)
class Retention:
    """How long things are kept: the history, devices and owners after they were last seen."""

    history: timedelta
    stale_device: timedelta
    owner_known: timedelta


def expired(kept: Retention) -> list[sa.Delete]:
    """Return the statements that delete a slice of the expired rows, one of each table."""
    now = sa.func.now()
    idle = sa.and_(fault_alerts.c.due_at.is_(None), fault_alerts.c.quiet_until < now - timedelta(days=1))
    without_device = ~sa.exists().where(devices.c.token == fault_alerts.c.token)
    return [
        slice_of(notifications, notifications.c.created_at < now - kept.history),
        slice_of(settled, settled.c.noted_at < now - kept.history),
        slice_of(devices, devices.c.registered_at < now - kept.stale_device),
        slice_of(owner_branches, owner_branches.c.seen_at < now - kept.owner_known),
        slice_of(match_quota, match_quota.c.day < sa.func.current_date() - 2),
        slice_of(fault_alerts, sa.or_(idle, without_device)),
        slice_of(inbox, inbox_expired()),
    ]
