"""The tables of MLOps, for its queries and its migrations."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

RUNS_CHANNEL = "training_runs"

metadata = sa.MetaData()


def _now() -> sa.Column[datetime]:
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


models = sa.Table(
    "models",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, nullable=False, unique=True),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("manifest", JSONB, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text),
    sa.Column("champion", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("verdict", JSONB),
    sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
    _now(),
    sa.CheckConstraint("source IN ('shipped', 'refit', 'full')", name="models_source"),
    sa.Index("models_one_champion", "champion", unique=True, postgresql_where=sa.text("champion")),
)

promotions = sa.Table(
    "promotions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, sa.ForeignKey("models.version"), nullable=False),
    sa.Column("previous_version", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("promoted_by", sa.Text, nullable=False),
    sa.Column("override_reason", sa.Text),
    sa.Column("promoted_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("announced_at", sa.DateTime(timezone=True)),
    # In which order they were made; null for those from before it was counted.
    sa.Column("place", sa.BigInteger, server_default=sa.text("nextval('promotions_place')")),
    sa.Index("promotions_pending", "id", postgresql_where=sa.text("announced_at IS NULL")),
)

training_examples = sa.Table(
    "training_examples",
    metadata,
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
    sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=False),
    # The photo is deleted; and nothing that was learnt from it is used any more.
    sa.Column("photo_deleted_at", sa.DateTime(timezone=True)),
    sa.Column("retired", sa.Boolean, nullable=False, server_default=sa.false()),
    _now(),
    sa.Index("training_examples_confirmed_at", "confirmed_at"),
    sa.Index("training_examples_created_at", "created_at"),
    sa.Index("training_examples_confirmed_by", "confirmed_by"),
    sa.Index("training_examples_photo", "photo_sha256"),
)

# Photos that were deleted before their confirmation came, if it ever does.
early_deletions = sa.Table(
    "early_deletions",
    metadata,
    sa.Column("task_id", sa.Text, primary_key=True),
    sa.Column("photo_deleted_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("retired", sa.Boolean, nullable=False),
    _now(),
    sa.Index("early_deletions_created_at", "created_at"),
)

example_branches = sa.Table(
    "example_branches",
    metadata,
    sa.Column("branch_id", sa.Text, primary_key=True),
    sa.Column("side", sa.Text, nullable=False),
    _now(),
    sa.CheckConstraint("side IN ('learning', 'holdout')", name="example_branches_side"),
)

photo_features = sa.Table(
    "photo_features",
    metadata,
    sa.Column("photo_sha256", sa.Text, primary_key=True),
    sa.Column("backbone", sa.Text, primary_key=True),
    sa.Column("features", sa.LargeBinary, nullable=False),
    sa.Column("picture_hash", sa.LargeBinary, nullable=False),
    _now(),
)

run_examples = sa.Table(
    "run_examples",
    metadata,
    sa.Column("run_id", sa.Text, sa.ForeignKey("training_runs.id"), primary_key=True),
    sa.Column("example_id", sa.Text, sa.ForeignKey("training_examples.id"), primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.CheckConstraint("role IN ('learnt', 'judging', 'left out')", name="run_examples_role"),
)

training_run_log = sa.Table(
    "training_run_log",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("run_id", sa.Text, sa.ForeignKey("training_runs.id"), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    _now(),
    sa.Index("training_run_log_run", "run_id", "id"),
)

training_runs = sa.Table(
    "training_runs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default="queued"),
    sa.Column("progress", sa.Float, nullable=False, server_default="0"),
    sa.Column("model_version", sa.Text),
    sa.Column("decision", JSONB),
    sa.Column("error", sa.Text),
    sa.Column("requested_by", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("care", JSONB),
    _now(),
    sa.Column("started_at", sa.DateTime(timezone=True)),
    sa.Column("finished_at", sa.DateTime(timezone=True)),
    sa.CheckConstraint("kind IN ('refit', 'full')", name="training_runs_kind"),
    sa.CheckConstraint(
        "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="training_runs_status"
    ),
    sa.CheckConstraint("progress >= 0 AND progress <= 1", name="training_runs_progress"),
    sa.Index("training_runs_open", "id", postgresql_where=sa.text("status IN ('queued', 'running')")),
)
