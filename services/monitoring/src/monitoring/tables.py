"""The monitoring service's own tables."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

CHANGES_CHANNEL = "equipment_changed"

metadata = sa.MetaData()

_moment = sa.DateTime(timezone=True)

equipment = sa.Table(
    "equipment",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("branch_id", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("first_seen_at", _moment, server_default=sa.func.now(), nullable=False),
    # The newest sample by the equipment's clock, and when it was heard of by the clock here.
    sa.Column("recorded_at", _moment),
    sa.Column("received_at", _moment),
    sa.Column("fault_code", sa.Text),
    sa.Column("metrics", JSONB, nullable=False, server_default="{}"),
    # Any sample but a duplicate is a sign of life, also one that is late.
    sa.Column("heard_at", _moment, server_default=sa.func.now(), nullable=False),
    sa.Column("heard_via", sa.Text, nullable=False, server_default="http"),
    sa.Column("broken_since", JSONB, nullable=False, server_default="{}"),
    sa.Column("open_faults", sa.Integer, nullable=False, server_default="0"),
    sa.Index("equipment_newest", "first_seen_at", "id"),
    sa.Index("equipment_branch", "branch_id", "first_seen_at", "id"),
    sa.Index("equipment_heard_at", "heard_at"),
)

sample = sa.Table(
    "sample",
    metadata,
    sa.Column("equipment_id", sa.Text, primary_key=True),
    sa.Column("recorded_at", _moment, primary_key=True),
    sa.Column("branch_id", sa.Text, nullable=False),
    sa.Column("fault_code", sa.Text),
    sa.Column("metrics", JSONB, nullable=False),
    sa.Column("received_at", _moment, server_default=sa.func.now(), nullable=False),
    sa.Index("sample_received_at", "received_at"),
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
    sa.Index("fault_of_equipment", "equipment_id", "detected_at"),
    sa.Index("fault_cleared_at", "cleared_at"),
)
# The database itself refuses a second open fault of one trouble, whatever the replicas think.
sa.Index(
    "fault_open_once",
    fault.c.equipment_id,
    fault.c.cause,
    fault.c.key,
    unique=True,
    postgresql_where=fault.c.cleared_at.is_(None),
)

# Since when samples could be heard by each way: silence while we were deaf is nobody's fault.
watch = sa.Table(
    "watch",
    metadata,
    sa.Column("via", sa.Text, primary_key=True),
    sa.Column("looked_at", _moment, nullable=False),
    sa.Column("hearing_since", _moment, nullable=False),
)

# The branches that a device's token named when it last logged in to the broker: its messages carry no token.
mqtt_login = sa.Table(
    "mqtt_login",
    metadata,
    sa.Column("equipment_id", sa.Text, primary_key=True),
    sa.Column("branches", ARRAY(sa.Text), nullable=False),
    sa.Column("logged_in_at", _moment, server_default=sa.func.now(), nullable=False),
)
