"""What the notification service holds of people: phones, what they were told, where owners were seen."""

import sqlalchemy as sa

from laundry_service.personal_data.held import PERSON, TOMBSTONE, Held, equals
from notification.tables import (
    consent_records,
    consents,
    deliveries,
    devices,
    fault_alerts,
    match_quota,
    notifications,
    owner_branches,
)

_TOKENS = sa.select(devices.c.token).where(devices.c.user_id == PERSON)
_TOLD = sa.select(notifications.c.id).where(notifications.c.user_id == PERSON)

HELD = (
    # Before what they hang on, so that no cascade deletes more than a transaction should.
    Held(
        "deliveries",
        deliveries,
        sa.or_(deliveries.c.token.in_(_TOKENS), deliveries.c.notification_id.in_(_TOLD)),
        shown=(),
    ),
    Held("fault_alerts", fault_alerts, fault_alerts.c.token.in_(_TOKENS), shown=()),
    Held(
        "devices",
        devices,
        equals(devices.c.user_id),
        # The token is a phone's secret: whoever has it can ring it.
        shown=("role", "platform", "name", "language", "branches", "created_at", "registered_at"),
    ),
    Held(
        "notifications",
        notifications,
        equals(notifications.c.user_id),
        shown=("kind", "branch_id", "texts", "state", "created_at", "sent_at"),
    ),
    Held("branches_seen", owner_branches, equals(owner_branches.c.user_id), shown=("branch_id", "seen_at")),
    Held("consent", consents, equals(consents.c.customer_id), shown=("given", "per_week", "changed_at")),
    Held(
        "consent_records",
        consent_records,
        equals(consent_records.c.customer_id),
        # That it was given and withdrawn has to be proved for as long as anybody may doubt it.
        becomes={"customer_id": TOMBSTONE},
        shown=("given", "at", "via", "text_version", "language", "text"),
    ),
    Held("pushes_per_day", match_quota, equals(match_quota.c.user_id), shown=("day", "pushes")),
)
