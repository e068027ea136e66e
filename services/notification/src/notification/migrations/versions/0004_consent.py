"""What customers agree to, the record of it, and which recommendations took a place among those of a week."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "consents",
        sa.Column("customer_id", sa.Text, primary_key=True),
        sa.Column("given", sa.Boolean, nullable=False),
        sa.Column("text_version", sa.Text),
        sa.Column("per_week", sa.Integer, nullable=False),
        sa.Column("time_zone", sa.Text),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("stop_key", sa.Text, nullable=False, unique=True),
    )
    op.create_table(
        "consent_records",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("given", sa.Boolean, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("via", sa.Text, nullable=False),
        sa.Column("text_version", sa.Text),
        sa.Column("language", sa.Text),
        sa.Column("text", JSONB),
    )
    op.create_index("consent_records_of", "consent_records", ["customer_id", "id"])
    op.add_column("notifications", sa.Column("content", sa.Text))
    op.add_column("notifications", sa.Column("admitted_at", sa.DateTime(timezone=True)))
    # What the release before pushed counts.
    op.execute(
        "UPDATE notifications SET admitted_at = sent_at WHERE kind = 'branch_match' AND sent_at IS NOT NULL"
    )


def downgrade() -> None:
    op.drop_column("notifications", "admitted_at")
    op.drop_column("notifications", "content")
    op.drop_table("consent_records")
    op.drop_table("consents")
