"""Who promoted, trained, cancelled and tried out which model: an audit that is only added to."""

from alembic import op

from laundry_service.audit import table

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table.create(op)


def downgrade() -> None:
    table.drop(op)
