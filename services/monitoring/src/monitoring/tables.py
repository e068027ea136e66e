"""The monitoring service's own tables."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

CHANGES_CHANNEL = "equipment_changed"

metadata = sa.MetaData()

_moment = sa.DateTime(timezone=True)

equipment = sa.Table(
    "equipment",
    metadata,
    # Two branches may use the same name for different machines.
    sa.Column("branch_id", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("first_seen_at", _moment, server_default=sa.func.now(), nullable=False),
    # The newest sample: the equipment's own time, and when it arrived.
    sa.Column("recorded_at", _moment),
    sa.Column("received_at", _moment),
    sa.Column("fault_code", sa.Text),
    sa.Column("metrics", JSONB, nullable=False, server_default="{}"),
    # Any sample except a duplicate is a sign of life, even a late one.
    sa.Column("heard_at", _moment, server_default=sa.func.now(), nullable=False),
    sa.Column("heard_via", sa.Text, nullable=False, server_default="http"),
    sa.Column("broken_since", JSONB, nullable=False, server_default="{}"),
    sa.Column("open_faults", sa.Integer, nullable=False, server_default="0"),
    # When the newest sample happened, as far as its clock is believed; and a run of older ones (``clocks``).
    sa.Column("happened_at", _moment),
    sa.Column("back_at", _moment),
    sa.Column("back_since", _moment),
    sa.Column("code_at", _moment),
    sa.Column("damping", JSONB, nullable=False, server_default="{}"),
    # The branches of its own token, if it was last heard with that.
    sa.Column("speaks_for", ARRAY(sa.Text)),
    sa.Index("equipment_name", "id"),
    sa.Index("equipment_newest", "first_seen_at", "id"),
    sa.Index("equipment_branch", "branch_id", "first_seen_at", "id"),
    sa.Index("equipment_heard_at", "heard_at"),
)

sa.Index(
    "equipment_faulty",
    equipment.c.first_seen_at,
    equipment.c.id,
    equipment.c.branch_id,
    postgresql_where=equipment.c.open_faults > 0,
)

# Identity of a sample: machine, time and code; a clock with second resolution repeats times.
sample = sa.Table(
    "sample",
    metadata,
    sa.Column("branch_id", sa.Text, nullable=False),
    sa.Column("equipment_id", sa.Text, nullable=False),
    sa.Column("recorded_at", _moment, nullable=False),
    sa.Column("fault_code", sa.Text),
    sa.Column("metrics", JSONB, nullable=False),
    sa.Column("received_at", _moment, server_default=sa.func.now(), nullable=False),
    sa.Index("sample_received_at", "received_at"),
)
sa.Index(
    "sample_once",
    sample.c.branch_id,
    sample.c.equipment_id,
    sample.c.recorded_at,
    sa.func.coalesce(sample.c.fault_code, ""),
    unique=True,
)

fault = sa.Table(
    "fault",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("equipment_id", sa.Text, nullable=False),
    sa.Column("branch_id", sa.Text, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("fault_code", sa.Text),
    sa.Column("metric", sa.Text),
    sa.Column("value", sa.Float),
    sa.Column("limit_value", sa.Float),
    sa.Column("detected_at", _moment, nullable=False),
    sa.Column("cleared_at", _moment),
    sa.Column("cleared_by", sa.Text),
    sa.Column("recorded_at", _moment),
    sa.Column("clock_off", sa.Boolean, nullable=False, server_default="false"),
    sa.Column("count", sa.Integer, nullable=False, server_default="1"),
    sa.Column("codes", ARRAY(sa.Text), nullable=False, server_default="{}"),
    # When it may alert people; null once it has. And its count at that alert.
    sa.Column("due_at", _moment),
    sa.Column("rung_for", sa.Integer, nullable=False, server_default="1"),
    sa.Column("rung_at", _moment),
    sa.Column("flapping", sa.Boolean, nullable=False, server_default="false"),
    sa.Column("unsure", sa.Boolean, nullable=False, server_default="false"),
    # Who takes care of it.
    sa.Column("acknowledged_at", _moment),
    sa.Column("acknowledged_by", sa.Text),
    # When it is passed on unless somebody does; null while people were not told, and after the last time.
    sa.Column("escalate_at", _moment),
    sa.Column("escalation", sa.Integer, nullable=False, server_default="0"),
    sa.Column("escalated_at", _moment),
    sa.Index("fault_newest", "detected_at", "id"),
    sa.Index("fault_of_equipment", "equipment_id", "detected_at"),
    sa.Index("fault_cleared_at", "cleared_at"),
    sa.Index("fault_branch_newest", "branch_id", "detected_at", "id"),
)
sa.Index("fault_open_newest", fault.c.detected_at, fault.c.id, postgresql_where=fault.c.cleared_at.is_(None))
sa.Index("fault_unheard", fault.c.cleared_at, postgresql_where=fault.c.rung_for == 0)
sa.Index(
    "fault_due",
    fault.c.due_at,
    postgresql_where=sa.and_(fault.c.due_at.is_not(None), fault.c.cleared_at.is_(None)),
)
sa.Index(
    "fault_escalate",
    fault.c.escalate_at,
    postgresql_where=sa.and_(
        fault.c.escalate_at.is_not(None), fault.c.cleared_at.is_(None), fault.c.acknowledged_at.is_(None)
    ),
)
# The database enforces one open fault per trouble, whatever the replicas think.
sa.Index(
    "fault_open_once",
    fault.c.branch_id,
    fault.c.equipment_id,
    fault.c.cause,
    fault.c.key,
    unique=True,
    postgresql_where=fault.c.cleared_at.is_(None),
)

# Since when each channel has been listening: silence while we were not does not count.
watch = sa.Table(
    "watch",
    metadata,
    sa.Column("via", sa.Text, primary_key=True),
    sa.Column("looked_at", _moment, nullable=False),
    sa.Column("hearing_since", _moment, nullable=False),
)

# Logins to the broker and their tokens: messages carry no token. One row per client id.
device_login = sa.Table(
    "device_login",
    metadata,
    sa.Column("equipment_id", sa.Text, primary_key=True),
    sa.Column("client_id", sa.Text, primary_key=True),
    sa.Column("branches", ARRAY(sa.Text), nullable=False),
    sa.Column("expires_at", _moment, nullable=False),
    sa.Column("token_id", sa.Text),
    sa.Column("issued_at", _moment),
    sa.Column("signed_by", sa.Text),
    sa.Column("logged_in_at", _moment, server_default=sa.func.now(), nullable=False),
    sa.Index("device_login_expires_at", "expires_at"),
)

# Those who ever logged in, with the branches of their last login: what the release before knew of it.
mqtt_login = sa.Table(
    "mqtt_login",
    metadata,
    sa.Column("equipment_id", sa.Text, primary_key=True),
    sa.Column("branches", ARRAY(sa.Text), nullable=False),
    sa.Column("logged_in_at", _moment, server_default=sa.func.now(), nullable=False),
)
