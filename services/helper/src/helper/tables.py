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
    # From then on nobody is shown the photo; and when nothing of it was left in the store.
    sa.Column("photo_deleted_at", _time),
    sa.Column("photo_gone_at", _time),
    # Whether what was learnt from a deleted photo is kept.
    sa.Column("features_kept", sa.Boolean),
    # The helper is forgotten: the file as it was sent goes, the pictures made of it stay.
    sa.Column("only_pictures", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("original_deleted_at", _time),
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
    # Those that somebody looks for: all but the confirmed ones are few.
    sa.Index(
        "tasks_status_newest", "status", sa.desc("id"), postgresql_where=sa.text("status <> 'confirmed'")
    ),
    # Few tasks have a note: a search in them passes over the others.
    sa.Index("tasks_branch_noted", "branch_id", sa.desc("id"), postgresql_where=sa.text("note IS NOT NULL")),
    sa.Index("tasks_helper", "helper_id"),
    sa.Index("tasks_confirmed_by", "confirmed_by", postgresql_where=sa.text("confirmed_by IS NOT NULL")),
    sa.Index(
        "tasks_photo_kept_by_branch",
        "branch_id",
        "confirmed_at",
        postgresql_where=sa.text("photo_deleted_at IS NULL AND confirmed_at IS NOT NULL"),
    ),
    sa.Index(
        "tasks_photo_unconfirmed",
        "submitted_at",
        postgresql_where=sa.text("photo_deleted_at IS NULL AND confirmed_at IS NULL"),
    ),
    sa.Index(
        "tasks_photo_going",
        "id",
        postgresql_where=sa.text("photo_deleted_at IS NOT NULL AND photo_gone_at IS NULL"),
    ),
    sa.Index("tasks_bare", "id", postgresql_where=sa.text("only_pictures AND original_deleted_at IS NULL")),
    sa.Index("tasks_features_kept", "branch_id", postgresql_where=sa.text("features_kept")),
)

photo_policies = sa.Table(
    "photo_policies",
    metadata,
    sa.Column("branch_id", sa.Text, primary_key=True),
    sa.Column("keep_days", sa.Integer, nullable=False),
    sa.Column("keep_features", sa.Boolean, nullable=False),
    sa.Column("changed_by", sa.Text, nullable=False),
    sa.Column("changed_at", _time, nullable=False),
    sa.CheckConstraint("keep_days BETWEEN 1 AND 365", name="photo_policies_days"),
)

submissions = sa.Table(
    "submissions",
    metadata,
    sa.Column("helper_id", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("task_id", sa.Uuid(as_uuid=False), nullable=False),
    sa.Column("expires_at", _time, comment="After that the key makes a new task; null is never"),
    sa.Index("submissions_expires_at", "expires_at", postgresql_where=sa.text("expires_at IS NOT NULL")),
    # The others end with their task.
    sa.Index("submissions_task", "task_id", postgresql_where=sa.text("expires_at IS NULL")),
)
