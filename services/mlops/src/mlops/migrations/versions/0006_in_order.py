"""Promotions are counted by the database, and a photo's deletion may come before its confirmation."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

OLDER_CODE_MAY_RUN = True


def upgrade() -> None:
    op.execute("CREATE SEQUENCE promotions_place")
    # First without its default: what was there before has no place, and comes before what has one.
    op.add_column("promotions", sa.Column("place", sa.BigInteger))
    op.execute("ALTER TABLE promotions ALTER COLUMN place SET DEFAULT nextval('promotions_place')")
    op.execute("ALTER SEQUENCE promotions_place OWNED BY promotions.place")
    op.create_table(
        "early_deletions",
        sa.Column("task_id", sa.Text, primary_key=True),
        sa.Column("photo_deleted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
    op.create_index("early_deletions_created_at", "early_deletions", ["created_at"])


def downgrade() -> None:
    op.drop_table("early_deletions")
    op.drop_column("promotions", "place")
