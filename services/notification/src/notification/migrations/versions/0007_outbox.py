"""The outbox: the service says when it has forgotten a person."""

from alembic import op

from laundry_events.tables import create_outbox, drop_outbox

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_outbox(op)


def downgrade() -> None:
    drop_outbox(op)
