"""The pictures that are made of a photo for showing. Null where none were made yet."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", sa.Column("pictures", JSONB))


def downgrade() -> None:
    op.drop_column("tasks", "pictures")
