"""Tasks, what makes two uploads one task, the outbox and the inbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from laundry_events.tables import create_inbox, create_outbox, drop_inbox, drop_outbox

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CHANGED = """
CREATE FUNCTION task_changed() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('helper_tasks', NEW.id || ' ' || NEW.branch_id); RETURN NULL; END $$;
"""
TRIGGER = """
CREATE TRIGGER task_changed AFTER INSERT OR UPDATE ON tasks
FOR EACH ROW EXECUTE FUNCTION task_changed();
"""


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "tasks",
        sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("branch_id", sa.Text, nullable=False),
        sa.Column("helper_id", sa.Text, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("submitted_at", time, nullable=False),
        sa.Column("photo_key", sa.Text, nullable=False),
        sa.Column("photo_sha256", sa.Text, nullable=False),
        sa.Column("photo_bytes", sa.Integer, nullable=False),
        sa.Column("photo_media_type", sa.Text, nullable=False),
        sa.Column("read_labels", JSONB),
        sa.Column("needs_review", sa.Boolean),
        sa.Column("model_version", sa.Text),
        sa.Column("read_at", time),
        sa.Column("unreadable_reason", sa.Text),
        sa.Column("confirmed_labels", JSONB),
        sa.Column("corrected", sa.Boolean),
        sa.Column("confirmed_by", sa.Text),
        sa.Column("confirmed_at", time),
        sa.CheckConstraint("status IN ('submitted', 'read', 'unreadable', 'confirmed')", name="tasks_status"),
    )
    op.create_index("tasks_branch_newest", "tasks", ["branch_id", sa.text("id DESC")])
    op.create_index("tasks_branch_status_newest", "tasks", ["branch_id", "status", sa.text("id DESC")])
    op.create_table(
        "submissions",
        sa.Column("helper_id", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("task_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("expires_at", time, comment="After that the key makes a new task; null is never"),
    )
    op.create_index(
        "submissions_expires_at",
        "submissions",
        ["expires_at"],
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.execute(CHANGED)
    op.execute(TRIGGER)
    create_outbox(op)
    create_inbox(op)


def downgrade() -> None:
    drop_inbox(op)
    drop_outbox(op)
    op.drop_table("submissions")
    op.drop_table("tasks")
    op.execute("DROP FUNCTION task_changed")
