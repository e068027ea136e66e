"""An index by which a push that failed is found among a million that were not tried yet."""

from alembic import op

from laundry_service.storage.online import create_index, drop_index

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

OLDER_CODE_MAY_RUN = True


def upgrade() -> None:
    create_index(
        op,
        "deliveries_again",
        "deliveries",
        "next_attempt_at",
        where="state = 'pending' AND kind = 'branch_match' AND attempts > 0",
    )


def downgrade() -> None:
    drop_index(op, "deliveries_again")
