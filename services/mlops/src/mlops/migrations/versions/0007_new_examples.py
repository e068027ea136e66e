"""An index by which the examples since the last run are found, whatever clocks made their ids."""

from alembic import op

from laundry_service.storage.online import create_index, drop_index

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

OLDER_CODE_MAY_RUN = True


def upgrade() -> None:
    create_index(op, "training_examples_created_at", "training_examples", "created_at")


def downgrade() -> None:
    drop_index(op, "training_examples_created_at")
