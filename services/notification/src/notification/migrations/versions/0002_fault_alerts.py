"""One alert for each phone and branch, which tells all faults of a burst."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "fault_alerts",
        sa.Column("token", sa.Text, primary_key=True),
        sa.Column("branch_id", sa.Text, primary_key=True),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("leased_until", sa.DateTime(timezone=True)),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("last_error", sa.Text),
        sa.Column("tag", sa.Text),
        sa.Column("began_at", sa.DateTime(timezone=True)),
        sa.Column("pushed_at", sa.DateTime(timezone=True)),
        sa.Column("pushes", sa.Integer, nullable=False, server_default="0"),
        sa.Column("quiet_until", sa.DateTime(timezone=True)),
        sa.Column("rang", ARRAY(sa.DateTime(timezone=True)), nullable=False, server_default="{}"),
    )
    op.create_index(
        "fault_alerts_due", "fault_alerts", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.add_column("deliveries", sa.Column("alert", sa.Text))
    op.create_index(
        "deliveries_alert",
        "deliveries",
        ["token", "alert"],
        postgresql_where=sa.text("alert IS NOT NULL"),
    )
    op.create_index(
        "deliveries_faults_waiting",
        "deliveries",
        ["token"],
        postgresql_where=sa.text("state = 'pending' AND kind = 'equipment_fault'"),
    )


def downgrade() -> None:
    op.drop_index("deliveries_faults_waiting", "deliveries")
    op.drop_index("deliveries_alert", "deliveries")
    op.drop_column("deliveries", "alert")
    op.drop_table("fault_alerts")
