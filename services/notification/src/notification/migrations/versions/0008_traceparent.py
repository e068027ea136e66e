"""The trace of what a notification tells, so that its pushes go on with it."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE notifications ADD COLUMN traceparent text")


def downgrade() -> None:
    op.execute("ALTER TABLE notifications DROP COLUMN traceparent")
