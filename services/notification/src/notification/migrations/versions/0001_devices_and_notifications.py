"""Devices, notifications, their deliveries, and the inbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from laundry_events.tables import create_inbox, drop_inbox

revision = "0001"
down_revision = None

# The payload is a bucket of users: equal ones within a transaction become one, so that a message with
# hundreds of customers wakes listeners a few times and not hundreds.
NOTIFY = """
CREATE FUNCTION notification_changed() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
  PERFORM pg_notify('notification_changed',
    (('x' || substr(md5(NEW.user_id), 1, 8))::bit(32)::bigint % 64)::text);
  RETURN NULL;
END $$;
"""
TRIGGER = """
CREATE TRIGGER notification_changed AFTER INSERT OR UPDATE OF state ON notifications
FOR EACH ROW EXECUTE FUNCTION notification_changed();
"""


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "devices",
        sa.Column("token", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("branches", ARRAY(sa.Text), nullable=False),
        _time("created_at"),
        _time("registered_at"),
    )
    op.create_index("devices_user", "devices", ["user_id", "role"])
    op.create_index("devices_branches", "devices", ["branches"], postgresql_using="gin")
    op.create_table(
        "owner_branches",
        sa.Column("branch_id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, primary_key=True),
        _time("seen_at"),
    )
    op.create_table(
        "notifications",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("about", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("branch_id", sa.Text, nullable=False),
        sa.Column("texts", JSONB, nullable=False),
        sa.Column("data", JSONB, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        _time("created_at"),
        _time("changed_at"),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("about", "user_id", name="notifications_once"),
    )
    op.create_index("notifications_history", "notifications", ["user_id", sa.text("id DESC")])
    op.create_index("notifications_changed", "notifications", ["user_id", "changed_at"])
    op.create_index("notifications_created", "notifications", ["created_at"])
    op.create_table(
        "deliveries",
        sa.Column(
            "notification_id",
            sa.Uuid,
            sa.ForeignKey("notifications.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("token", sa.Text, sa.ForeignKey("devices.token", ondelete="CASCADE"), primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="pending"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        _time("next_attempt_at"),
        sa.Column("last_error", sa.Text),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
    )
    op.create_index("deliveries_token", "deliveries", ["token"])
    op.create_index(
        "deliveries_due",
        "deliveries",
        ["next_attempt_at"],
        postgresql_where=sa.text("state = 'pending' AND kind = 'branch_match'"),
    )
    op.create_table(
        "match_quota",
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("pushes", sa.Integer, nullable=False),
    )
    create_inbox(op)
    op.execute(NOTIFY)
    op.execute(TRIGGER)


def downgrade() -> None:
    drop_inbox(op)
    for table in ("match_quota", "deliveries", "notifications", "owner_branches", "devices"):
        op.drop_table(table)
    op.execute("DROP FUNCTION notification_changed")
