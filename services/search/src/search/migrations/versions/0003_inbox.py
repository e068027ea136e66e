"""The inbox: since people can be forgotten, search consumes."""

import sqlalchemy as sa
from alembic import op

from laundry_events.tables import create_inbox, drop_inbox

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_inbox(op)
    op.create_index("preferences_created_by", "preferences", [sa.text("created_by")])


def downgrade() -> None:
    op.drop_index("preferences_created_by", "preferences")
    drop_inbox(op)
