"""Since when no dead letter names a person who is to be forgotten, and when the services were asked last."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Nothing is taken away: the release before runs on, and leaves both empty.
OLDER_CODE_MAY_RUN = True


def upgrade() -> None:
    op.execute("ALTER TABLE erasures ADD COLUMN clear_since timestamptz, ADD COLUMN asked_at timestamptz")


def downgrade() -> None:
    op.execute("ALTER TABLE erasures DROP COLUMN clear_since, DROP COLUMN asked_at")
