"""Equipment, samples, faults, and the outbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from laundry_events.tables import create_outbox, drop_outbox

revision = "0001"
down_revision = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "equipment",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("branch_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("first_seen_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("recorded_at", MOMENT),
        sa.Column("received_at", MOMENT),
        sa.Column("fault_code", sa.Text),
        sa.Column("metrics", JSONB, nullable=False, server_default="{}"),
        sa.Column("heard_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("heard_via", sa.Text, nullable=False, server_default="http"),
        sa.Column("broken_since", JSONB, nullable=False, server_default="{}"),
        sa.Column("open_faults", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_index("equipment_newest", "equipment", ["first_seen_at", "id"])
    op.create_index("equipment_branch", "equipment", ["branch_id", "first_seen_at", "id"])
    op.create_index("equipment_heard_at", "equipment", ["heard_at"])

    op.create_table(
        "sample",
        sa.Column("equipment_id", sa.Text, primary_key=True),
        sa.Column("recorded_at", MOMENT, primary_key=True),
        sa.Column("branch_id", sa.Text, nullable=False),
        sa.Column("fault_code", sa.Text),
        sa.Column("metrics", JSONB, nullable=False),
        sa.Column("received_at", MOMENT, server_default=sa.func.now(), nullable=False),
    )
    op.create_index("sample_received_at", "sample", ["received_at"])

    op.create_table(
        "fault",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("equipment_id", sa.Text, nullable=False),
        sa.Column("branch_id", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("fault_code", sa.Text),
        sa.Column("metric", sa.Text),
        sa.Column("value", sa.Float),
        sa.Column("limit_value", sa.Float),
        sa.Column("detected_at", MOMENT, nullable=False),
        sa.Column("cleared_at", MOMENT),
        sa.Column("cleared_by", sa.Text),
    )
    op.create_index("fault_of_equipment", "fault", ["equipment_id", "detected_at"])
    op.create_index("fault_cleared_at", "fault", ["cleared_at"])
    op.create_index(
        "fault_open_once",
        "fault",
        ["equipment_id", "cause", "key"],
        unique=True,
        postgresql_where=sa.text("cleared_at IS NULL"),
    )

    op.create_table(
        "watch",
        sa.Column("via", sa.Text, primary_key=True),
        sa.Column("looked_at", MOMENT, nullable=False),
        sa.Column("hearing_since", MOMENT, nullable=False),
    )
    op.create_table(
        "mqtt_login",
        sa.Column("equipment_id", sa.Text, primary_key=True),
        sa.Column("branches", ARRAY(sa.Text), nullable=False),
        sa.Column("logged_in_at", MOMENT, server_default=sa.func.now(), nullable=False),
    )
    create_outbox(op)


def downgrade() -> None:
    drop_outbox(op)
    for table in ("mqtt_login", "watch", "fault", "sample", "equipment"):
        op.drop_table(table)
