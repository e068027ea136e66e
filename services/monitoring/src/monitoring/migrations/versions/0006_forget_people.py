"""People can be forgotten: pseudonyms in the audit, and the inbox, as MQTT samples have none."""

from alembic import op

from laundry_events.tables import create_inbox, drop_inbox
from laundry_service.audit import people

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_inbox(op)
    people.create(op)


def downgrade() -> None:
    people.drop(op)
    drop_inbox(op)
