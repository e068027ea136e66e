"""Customers' tastes, branches' preferences, who was matched, and the outbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from laundry_events.tables import create_outbox, drop_outbox

revision = "0001"
down_revision = None

NOTIFY = """
CREATE FUNCTION preference_stated() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('preference_stated', NEW.id::text); RETURN NULL; END $$;
"""
TRIGGER = """
CREATE TRIGGER preference_stated AFTER INSERT ON preferences
FOR EACH ROW EXECUTE FUNCTION preference_stated();
"""


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def _customer() -> sa.Column[str]:
    target = sa.ForeignKey("customers.id", ondelete="CASCADE")
    return sa.Column("customer_id", sa.Text, target, primary_key=True)


def _preference() -> sa.Column[object]:
    target = sa.ForeignKey("preferences.id", ondelete="CASCADE")
    return sa.Column("preference_id", sa.Uuid, target, primary_key=True)


def upgrade() -> None:
    op.create_table(
        "customers",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("total", sa.Double, nullable=False),
        _time("updated_at"),
    )
    op.create_table(
        "customer_tags",
        sa.Column("tag", sa.Text, primary_key=True),
        _customer(),
        sa.Column("weight", sa.Double, nullable=False),
    )
    op.create_index("customer_tags_customer", "customer_tags", ["customer_id"])
    op.create_table(
        "preferences",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("branch_id", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("total", sa.Double, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("matched", sa.Integer, nullable=False, server_default="0"),
        _time("created_at"),
        sa.UniqueConstraint("branch_id", "created_by", "idempotency_key", name="preferences_once"),
    )
    op.create_index("preferences_branch", "preferences", ["branch_id", sa.text("id DESC")])
    op.create_table(
        "preference_tags",
        sa.Column("tag", sa.Text, primary_key=True),
        _preference(),
        sa.Column("weight", sa.Double, nullable=False),
    )
    op.create_index("preference_tags_preference", "preference_tags", ["preference_id"])
    op.create_table(
        "matches",
        _preference(),
        sa.Column("customer_id", sa.Text, primary_key=True),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("reasons", ARRAY(sa.Text), nullable=False),
    )
    op.create_index("matches_customer", "matches", ["customer_id"])
    create_outbox(op)
    op.execute(NOTIFY)
    op.execute(TRIGGER)


def downgrade() -> None:
    drop_outbox(op)
    for table in ("matches", "preference_tags", "preferences", "customer_tags", "customers"):
        op.drop_table(table)
    op.execute("DROP FUNCTION preference_stated")
