"""Who takes care of a fault, and when it is passed on because nobody does."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("fault", sa.Column("acknowledged_at", MOMENT))
    op.add_column("fault", sa.Column("acknowledged_by", sa.Text))
    # Faults that the release before told of are not passed on.
    op.add_column("fault", sa.Column("escalate_at", MOMENT))
    op.add_column("fault", sa.Column("escalation", sa.Integer, nullable=False, server_default="0"))
    op.add_column("fault", sa.Column("escalated_at", MOMENT))
    op.create_index("fault_newest", "fault", ["detected_at", "id"])
    op.create_index(
        "fault_escalate",
        "fault",
        ["escalate_at"],
        postgresql_where=sa.text(
            "escalate_at IS NOT NULL AND cleared_at IS NULL AND acknowledged_at IS NULL"
        ),
    )


def downgrade() -> None:
    op.drop_index("fault_escalate", "fault")
    op.drop_index("fault_newest", "fault")
    for name in ("escalated_at", "escalation", "escalate_at", "acknowledged_by", "acknowledged_at"):
        op.drop_column("fault", name)
