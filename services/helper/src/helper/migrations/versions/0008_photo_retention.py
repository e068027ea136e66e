"""How long photos are kept, what became of those past their time, and of whom only pictures remain."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

INDEXES = {
    "tasks_helper": (["helper_id"], None),
    "tasks_confirmed_by": (["confirmed_by"], "confirmed_by IS NOT NULL"),
    "tasks_photo_kept": (
        ["confirmed_at", "branch_id"],
        "photo_deleted_at IS NULL AND confirmed_at IS NOT NULL",
    ),
    "tasks_photo_unconfirmed": (["submitted_at"], "photo_deleted_at IS NULL AND confirmed_at IS NULL"),
    "tasks_photo_going": (["id"], "photo_deleted_at IS NOT NULL AND photo_gone_at IS NULL"),
    "tasks_bare": (["id"], "only_pictures AND original_deleted_at IS NULL"),
    "tasks_features_kept": (["branch_id"], "features_kept"),
}


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    for name in ("photo_deleted_at", "photo_gone_at", "original_deleted_at"):
        op.add_column("tasks", sa.Column(name, time))
    op.add_column("tasks", sa.Column("features_kept", sa.Boolean))
    op.add_column("tasks", sa.Column("only_pictures", sa.Boolean, nullable=False, server_default=sa.false()))
    for name, (columns, where) in INDEXES.items():
        op.create_index(name, "tasks", columns, postgresql_where=None if where is None else sa.text(where))
    op.create_table(
        "photo_policies",
        sa.Column("branch_id", sa.Text, primary_key=True),
        sa.Column("keep_days", sa.Integer, nullable=False),
        sa.Column("keep_features", sa.Boolean, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("changed_at", time, nullable=False),
        sa.CheckConstraint("keep_days BETWEEN 1 AND 365", name="photo_policies_days"),
    )


def downgrade() -> None:
    op.drop_table("photo_policies")
    for name in INDEXES:
        op.drop_index(name, "tasks")
    for name in (
        "only_pictures",
        "features_kept",
        "original_deleted_at",
        "photo_gone_at",
        "photo_deleted_at",
    ):
        op.drop_column("tasks", name)
