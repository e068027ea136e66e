"""In which order owners ring, and what nobody needs to be told of any more."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column(
        "owner_branches",
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
    # Whoever registered a phone first was there first, as far as is known.
    op.execute("""
        UPDATE owner_branches SET since = least(seen_at, (
            SELECT min(created_at) FROM devices
            WHERE devices.user_id = owner_branches.user_id AND devices.role = 'owner'
        ))
    """)
    op.create_table(
        "settled",
        sa.Column("about", sa.Text, primary_key=True),
        sa.Column("noted_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("settled")
    op.drop_column("owner_branches", "since")
