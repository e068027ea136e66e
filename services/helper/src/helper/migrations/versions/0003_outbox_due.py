"""The outbox's index by which the relay finds what is due, whatever else waits."""

from alembic import op

from laundry_events.tables import improve_outbox

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    improve_outbox(op)


def downgrade() -> None:
    op.drop_index("outbox_due", "outbox")
