"""Verdicts, overrides, holdout branches, stored features, and what each run did with which example."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"

# Examples already trained on can no longer judge.
_KNOWN_BRANCHES = """
INSERT INTO example_branches (branch_id, side) SELECT DISTINCT branch_id, 'learning' FROM training_examples
"""
_KINDS = """
UPDATE promotions SET kind = CASE WHEN promoted_by = 'shipped' THEN 'shipped'
WHEN promoted_by LIKE 'training-run:%' THEN 'run' ELSE 'person' END
"""


def _now() -> sa.Column[datetime]:
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def upgrade() -> None:
    op.add_column("models", sa.Column("verdict", JSONB))
    op.add_column("promotions", sa.Column("kind", sa.Text))
    op.add_column("promotions", sa.Column("override_reason", sa.Text))
    op.execute(_KINDS)
    op.alter_column("promotions", "kind", nullable=False)
    op.add_column("training_runs", sa.Column("attempts", sa.Integer, nullable=False, server_default="0"))
    op.add_column("training_runs", sa.Column("care", JSONB))
    op.create_table(
        "example_branches",
        sa.Column("branch_id", sa.Text, primary_key=True),
        sa.Column("side", sa.Text, nullable=False),
        _now(),
        sa.CheckConstraint("side IN ('learning', 'holdout')", name="example_branches_side"),
    )
    op.execute(_KNOWN_BRANCHES)
    op.create_table(
        "photo_features",
        sa.Column("photo_sha256", sa.Text, primary_key=True),
        sa.Column("backbone", sa.Text, primary_key=True),
        sa.Column("features", sa.LargeBinary, nullable=False),
        sa.Column("picture_hash", sa.LargeBinary, nullable=False),
        _now(),
    )
    op.create_table(
        "run_examples",
        sa.Column("run_id", sa.Text, sa.ForeignKey("training_runs.id"), primary_key=True),
        sa.Column("example_id", sa.Text, sa.ForeignKey("training_examples.id"), primary_key=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.CheckConstraint("role IN ('learnt', 'judging', 'left out')", name="run_examples_role"),
    )
    op.create_table(
        "training_run_log",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("run_id", sa.Text, sa.ForeignKey("training_runs.id"), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        _now(),
    )
    op.create_index("training_run_log_run", "training_run_log", ["run_id", "id"])


def downgrade() -> None:
    op.drop_table("training_run_log")
    op.drop_table("run_examples")
    op.drop_table("photo_features")
    op.drop_table("example_branches")
    op.drop_column("training_runs", "care")
    op.drop_column("training_runs", "attempts")
    op.drop_column("promotions", "override_reason")
    op.drop_column("promotions", "kind")
    op.drop_column("models", "verdict")
