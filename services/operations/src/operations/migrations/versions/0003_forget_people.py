"""Erasures of people with the outbox and the inbox that they need; the audit bears pseudonyms."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from laundry_events.tables import create_inbox, create_outbox, drop_inbox, drop_outbox
from laundry_service.audit import people

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "erasures",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("person_id", sa.Text),
        sa.Column("tombstone", sa.Text, nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("requested_at", time, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("final", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("dead_letters", sa.Integer),
        sa.Column("completed_at", time),
    )
    op.create_index(
        "erasures_open_once",
        "erasures",
        ["person_id"],
        unique=True,
        postgresql_where=sa.text("completed_at IS NULL"),
    )
    op.create_table(
        "erasure_parts",
        sa.Column("erasure_id", sa.Text, sa.ForeignKey("erasures.id"), primary_key=True),
        sa.Column("service", sa.Text, primary_key=True),
        sa.Column("attempt", sa.Integer),
        sa.Column("rows", JSONB, nullable=False, server_default="{}"),
        sa.Column("forgotten_at", time),
    )
    create_outbox(op)
    create_inbox(op)
    people.create(op)


def downgrade() -> None:
    people.drop(op)
    drop_inbox(op)
    drop_outbox(op)
    op.drop_table("erasure_parts")
    op.drop_table("erasures")
