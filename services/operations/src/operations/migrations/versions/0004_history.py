"""Whom the history means: it names nobody itself."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "history_people",
        sa.Column("pseudonym", sa.Text, primary_key=True),
        sa.Column("person_id", sa.Text, unique=True),
        sa.Column("tombstone", sa.Text),
    )


def downgrade() -> None:
    op.drop_table("history_people")
