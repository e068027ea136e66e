"""The helper's tables; ``migrations`` has their history."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

TASKS_CHANNEL = "helper_tasks"

metadata = sa.MetaData()

_time = sa.DateTime(timezone=True)

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("branch_id", sa.Text, nullable=False),
    sa.Column("helper_id", sa.Text, nullable=False),
    sa.Column("note", sa.Text),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("submitted_at", _time, nullable=False),
    sa.Column("photo_key", sa.Text, nullable=False),
    sa.Column("photo_sha256", sa.Text, nullable=False),
    sa.Column("photo_bytes", sa.Integer, nullable=False),
    sa.Column("photo_media_type", sa.Text, nullable=False),
    sa.Column("read_labels", JSONB(none_as_null=True)),
    sa.Column("needs_review", sa.Boolean),
    sa.Column("multiple", sa.Boolean),
    sa.Column("model_version", sa.Text),
    sa.Column("read_at", _time),
    sa.Column("unreadable_reason", sa.Text),
    sa.Column("pictures", JSONB(none_as_null=True)),
    sa.Column("confirmed_labels", JSONB(none_as_null=True)),
    sa.Column("corrected", sa.Boolean),
    sa.Column("confirmed_by", sa.Text),
    sa.Column("confirmed_at", _time),
    sa.Column("load_id", sa.Text),
    sa.Column("replaced_by", sa.Uuid(as_uuid=False)),
    sa.Column("undo_until", _time, comment="Until then the event below waits in the outbox"),
    sa.Column("undo_event", sa.Text),
    sa.CheckConstraint(
        "status IN ('submitted', 'read', 'unreadable', 'confirmed', 'withdrawn')", name="tasks_status"
    ),
    sa.Index("tasks_branch_newest", "branch_id", sa.desc("id")),
    sa.Index("tasks_branch_status_newest", "branch_id", "status", sa.desc("id")),
    sa.Index("tasks_helper_corrected", "helper_id", sa.desc("id"), postgresql_where=sa.text("corrected")),
    # Few tasks have a note: a search in them passes over the others.
    sa.Index("tasks_branch_noted", "branch_id", sa.desc("id"), postgresql_where=sa.text("note IS NOT NULL")),
)

submissions = sa.Table(
    "submissions",
    metadata,
    sa.Column("helper_id", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("task_id", sa.Uuid(as_uuid=False), nullable=False),
    sa.Column("expires_at", _time, comment="After that the key makes a new task; null is never"),
    sa.Index("submissions_expires_at", "expires_at", postgresql_where=sa.text("expires_at IS NOT NULL")),
)
