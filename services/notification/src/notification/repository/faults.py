"""Queries that store faults, many at once. Each works in its caller's transaction.

Rows are written in a fixed order, alerts before deliveries: replicas that store at the same time, and whoever
finishes a push meanwhile, may wait for each other but never deadlock.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import new_id
from notification.model import Announcement, State

OWNERS = sa.text("""
SELECT branch_id, user_id, bool_or(has_phone) AS has_phone
FROM (
    SELECT wanted.branch_id, devices.user_id, true AS has_phone, devices.created_at AS since
    FROM unnest(CAST(:branches AS text[])) AS wanted (branch_id)
    JOIN devices ON devices.role = 'owner' AND devices.branches @> ARRAY[wanted.branch_id]
    UNION ALL
    SELECT branch_id, user_id, false, since FROM owner_branches
    WHERE branch_id = ANY(CAST(:branches AS text[])) AND seen_at > now() - CAST(:seen_within AS interval)
) AS known
GROUP BY branch_id, user_id
ORDER BY branch_id, coalesce(min(since) FILTER (WHERE NOT has_phone), min(since)), user_id
""")
# Of a fault that comes together with what passes it on, the one rings the first owner and the other the next.
ADD = sa.text("""
INSERT INTO notifications (id, user_id, kind, about, event_id, branch_id, texts, data, state, traceparent)
SELECT one.id, one.user_id, 'equipment_fault', story.about, story.event_id, story.branch_id, story.texts,
    story.data,
    one.state, story.traceparent
FROM unnest(CAST(:ids AS uuid[]), CAST(:users AS text[]), CAST(:numbers AS int[]), CAST(:states AS text[]))
    AS one (id, user_id, number, state)
JOIN jsonb_to_recordset(CAST(:stories AS jsonb))
    AS story (number int, about text, event_id text, branch_id text, texts jsonb, data jsonb,
        traceparent text)
    ON story.number = one.number
ORDER BY story.about, one.user_id, one.state <> 'pending', one.state = 'suppressed', one.number
ON CONFLICT ON CONSTRAINT notifications_once DO NOTHING
RETURNING id, state
""")
PHONES = """
FROM notifications
JOIN devices ON devices.user_id = notifications.user_id AND (
    devices.role = 'operator'
    OR devices.role = 'owner' AND devices.branches @> ARRAY[notifications.branch_id]
)
WHERE notifications.id = ANY(CAST(:ids AS uuid[]))
"""
MAKE_DUE = """
ON CONFLICT (token, branch_id) DO UPDATE
SET due_at = coalesce(fault_alerts.due_at, greatest(clock_timestamp(), fault_alerts.quiet_until))
"""
ADD_ALERTS = sa.text(f"""
INSERT INTO fault_alerts (token, branch_id, due_at)
SELECT DISTINCT devices.token, notifications.branch_id, now() {PHONES}
ORDER BY 1, 2
{MAKE_DUE}
""")
ADD_DELIVERIES = sa.text(f"""
INSERT INTO deliveries (notification_id, token, kind)
SELECT notifications.id, devices.token, 'equipment_fault' {PHONES}
ORDER BY devices.token, notifications.id
ON CONFLICT DO NOTHING
""")
UNDELIVERED = """
FROM deliveries
JOIN notifications ON notifications.id = deliveries.notification_id
WHERE deliveries.kind = 'equipment_fault' AND deliveries.state = ANY(CAST(:states AS text[]))
"""
REQUEUE_ALERTS = sa.text(f"""
INSERT INTO fault_alerts (token, branch_id, due_at)
SELECT DISTINCT deliveries.token, notifications.branch_id, now() {UNDELIVERED}
    AND notifications.about = ANY(CAST(:abouts AS text[]))
ORDER BY 1, 2
{MAKE_DUE}
""")
REQUEUE_DELIVERIES = sa.text("""
WITH revived AS (
    UPDATE deliveries SET state = 'pending'
    FROM notifications
    WHERE notifications.id = deliveries.notification_id AND notifications.about = ANY(CAST(:abouts AS text[]))
        AND deliveries.kind = 'equipment_fault' AND deliveries.state = 'failed'
    RETURNING deliveries.notification_id
)
UPDATE notifications SET state = 'pending', changed_at = clock_timestamp()
WHERE id IN (SELECT notification_id FROM revived) AND state = 'failed'
""")
UNSENT = ["pending", "failed"]


class Recipient(NamedTuple):
    """Somebody who finds a fault in his history, and how it gets there."""

    user_id: str
    state: State


@dataclass(frozen=True)
class Owner:
    """An owner of a branch."""

    user_id: str
    has_phone: bool


async def owners_of(
    session: AsyncSession, branches: Collection[str], *, seen_within: timedelta
) -> dict[str, list[Owner]]:
    """Find the owners of branches: those with a device registered for it, and those seen with it lately.

    Returns:
        them by branch, in the order in which they were first seen with it.
    """
    asked = {"branches": sorted(branches), "seen_within": seen_within}
    owners: dict[str, list[Owner]] = {branch: [] for branch in branches}
    for row in await session.execute(OWNERS, asked):
        owners[row.branch_id].append(Owner(row.user_id, row.has_phone))
    return owners


async def add_notifications(
    session: AsyncSession, announcements: Sequence[Announcement], recipients: Sequence[Sequence[Recipient]]
) -> list[str]:
    """Add each announcement to the history of those of its recipients who do not have it yet.

    Returns:
        the ids of the new notifications that are to be pushed.
    """
    rows = [
        (new_id(), recipient.user_id, number, recipient.state)
        for number, each in enumerate(recipients)
        for recipient in sorted(each)
    ]
    if not rows:
        return []
    ids, users, numbers, states = (list(column) for column in zip(*rows, strict=True))
    documents = [{"number": number, **story_of(each)} for number, each in enumerate(announcements)]
    added = await session.execute(
        ADD,
        {
            "ids": ids,
            "users": users,
            "numbers": numbers,
            "states": states,
            "stories": json.dumps(documents),
        },
    )
    return [str(row.id) for row in added if row.state == "pending"]


def story_of(announcement: Announcement) -> dict[str, Any]:
    """Return what notifications of an announcement hold."""
    return {
        "about": announcement.subject,
        "event_id": announcement.event_id,
        "branch_id": announcement.branch_id,
        "texts": announcement.texts,
        "data": announcement.data,
        "traceparent": announcement.traceparent,
    }


async def queue_pushes(session: AsyncSession, notification_ids: Collection[str]) -> None:
    """Queue notifications for the phones that their users have for the branch."""
    if notification_ids:
        asked = {"ids": list(notification_ids)}
        await session.execute(ADD_ALERTS, asked)
        await session.execute(ADD_DELIVERIES, asked)


async def requeue_undelivered(session: AsyncSession, subjects: Collection[str]) -> None:
    """Queue again what was stored before but did not reach a phone."""
    asked = {"abouts": sorted(subjects), "states": UNSENT}
    await session.execute(REQUEUE_ALERTS, asked)
    await session.execute(REQUEUE_DELIVERIES, {"abouts": asked["abouts"]})
