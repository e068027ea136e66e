"""The audit bears pseudonyms, whose keys are destroyed when a person is erased."""

from alembic import op

from laundry_service.audit import people

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    people.create(op)


def downgrade() -> None:
    people.drop(op)
