"""Who did what to dead letters, and the jobs that do it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSON

revision = "0001"
down_revision = None


def _time(name: str, *, now: bool = False) -> sa.Column[object]:
    default = sa.func.now() if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=not now)


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        _time("at", now=True),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("via", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text),
        sa.Column("fingerprint", sa.Text, nullable=False),
        # JSON, not JSONB: the record stays as it was written.
        sa.Column("record", JSON, nullable=False),
    )
    op.create_index("audit_fingerprint", "audit", ["fingerprint", "action"])
    op.create_index("audit_run", "audit", ["run"])
    op.create_index("audit_message", "audit", ["message_id"])
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False, unique=True),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("ids", ARRAY(sa.Text), nullable=False),
        sa.Column("at_most", sa.Integer, nullable=False),
        sa.Column("rate", sa.Double, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        # Fingerprints of the letters that are meant; none until they were looked for.
        sa.Column("targets", ARRAY(sa.Text)),
        sa.Column("preview", JSON),
        sa.Column("error", sa.Text),
        _time("created_at", now=True),
        _time("started_at"),
        _time("finished_at"),
    )
    op.create_index(
        "jobs_open", "jobs", ["number"], postgresql_where=sa.text("state IN ('queued', 'running')")
    )


def downgrade() -> None:
    op.drop_table("jobs")
    op.drop_table("audit")
