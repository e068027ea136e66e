"""Whether a photo seems to show more than one garment. Null in readings from before that was told."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", sa.Column("multiple", sa.Boolean))


def downgrade() -> None:
    op.drop_column("tasks", "multiple")
