"""Models, promotions, examples, training runs, outbox and inbox."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from laundry_events.tables import create_inbox, create_outbox, drop_inbox, drop_outbox

revision = "0001"
down_revision = None

_NOTIFY = """
CREATE FUNCTION training_runs_notify() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('training_runs', NEW.id); RETURN NULL; END $$
"""
_TRIGGER = """
CREATE TRIGGER training_runs_changed AFTER INSERT OR UPDATE ON training_runs
FOR EACH ROW EXECUTE FUNCTION training_runs_notify()
"""


def _time(name: str, *, now: bool = False, nullable: bool = False) -> sa.Column[datetime]:
    default = sa.func.now() if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, nullable=False, unique=True),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("manifest", JSONB, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text),
        sa.Column("champion", sa.Boolean, nullable=False, server_default=sa.false()),
        _time("made_at"),
        _time("created_at", now=True),
        sa.CheckConstraint("source IN ('shipped', 'refit', 'full')", name="models_source"),
    )
    op.create_index(
        "models_one_champion", "models", ["champion"], unique=True, postgresql_where=sa.text("champion")
    )
    op.create_table(
        "promotions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("version", sa.Text, sa.ForeignKey("models.version"), nullable=False),
        sa.Column("previous_version", sa.Text),
        sa.Column("promoted_by", sa.Text, nullable=False),
        _time("promoted_at"),
        _time("announced_at", nullable=True),
    )
    op.create_index(
        "promotions_pending", "promotions", ["id"], postgresql_where=sa.text("announced_at IS NULL")
    )
    op.create_table(
        "training_examples",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("task_id", sa.Text, nullable=False, unique=True),
        sa.Column("task_version", sa.Integer, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("branch_id", sa.Text, nullable=False),
        sa.Column("photo_key", sa.Text, nullable=False),
        sa.Column("photo_sha256", sa.Text, nullable=False),
        sa.Column("photo_bytes", sa.BigInteger, nullable=False),
        sa.Column("photo_media_type", sa.Text, nullable=False),
        sa.Column("read_labels", JSONB, nullable=False),
        sa.Column("model_version", sa.Text),
        sa.Column("labels", JSONB, nullable=False),
        sa.Column("corrected", sa.Boolean, nullable=False),
        sa.Column("confirmed_by", sa.Text, nullable=False),
        _time("confirmed_at"),
        _time("created_at", now=True),
    )
    op.create_index("training_examples_confirmed_at", "training_examples", ["confirmed_at"])
    op.create_table(
        "training_runs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False, server_default="queued"),
        sa.Column("progress", sa.Float, nullable=False, server_default="0"),
        sa.Column("model_version", sa.Text),
        sa.Column("decision", JSONB),
        sa.Column("error", sa.Text),
        sa.Column("requested_by", sa.Text, nullable=False),
        _time("created_at", now=True),
        _time("started_at", nullable=True),
        _time("finished_at", nullable=True),
        sa.CheckConstraint("kind IN ('refit', 'full')", name="training_runs_kind"),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')",
            name="training_runs_status",
        ),
        sa.CheckConstraint("progress >= 0 AND progress <= 1", name="training_runs_progress"),
    )
    op.create_index(
        "training_runs_open",
        "training_runs",
        ["id"],
        postgresql_where=sa.text("status IN ('queued', 'running')"),
    )
    op.execute(_NOTIFY)
    op.execute(_TRIGGER)
    create_outbox(op)
    create_inbox(op)


def downgrade() -> None:
    drop_inbox(op)
    drop_outbox(op)
    op.drop_table("training_runs")
    op.execute("DROP FUNCTION training_runs_notify")
    op.drop_table("training_examples")
    op.drop_table("promotions")
    op.drop_table("models")
