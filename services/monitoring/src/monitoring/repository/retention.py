"""What is older than it is kept."""

from datetime import timedelta

import sqlalchemy as sa

from laundry_events.inbox import expired as inbox_expired
from laundry_events.tables import inbox
from laundry_service.storage.slices import slice_of
from monitoring.tables import device_login, fault, sample


def expired(*, samples: timedelta, faults: timedelta) -> list[sa.Delete]:
    """Return the statements that delete a slice of the expired rows, one of each kind."""
    now = sa.func.now()
    newer = device_login.alias("newer")
    superseded = (
        sa.select(newer.c.equipment_id)
        .where(
            newer.c.equipment_id == device_login.c.equipment_id,
            sa.tuple_(newer.c.expires_at, newer.c.client_id)
            > sa.tuple_(device_login.c.expires_at, device_login.c.client_id),
        )
        .exists()
    )
    # Written into the statement: an index of a part of the table is used only where that is known.
    unheard = fault.c.rung_for == sa.literal(0, literal_execute=True)
    return [
        slice_of(sample, sample.c.received_at < now - samples),
        slice_of(fault, fault.c.cleared_at < now - faults),
        # A machine that flaps leaves many faults that alerted nobody.
        slice_of(fault, sa.and_(fault.c.cleared_at < now - samples, unheard)),
        # The last login of a device stays: without one it would be taken for a gateway.
        slice_of(device_login, sa.and_(device_login.c.expires_at < now - samples, superseded)),
        slice_of(inbox, inbox_expired()),
    ]
