"""Indexes by which lists and pruning find their rows among many faults and machines."""

from alembic import op

from laundry_service.storage.online import create_index, drop_index

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

OLDER_CODE_MAY_RUN = True


def upgrade() -> None:
    create_index(op, "fault_branch_newest", "fault", "branch_id, detected_at, id")
    create_index(op, "fault_open_newest", "fault", "detected_at, id", where="cleared_at IS NULL")
    create_index(op, "fault_unheard", "fault", "cleared_at", where="rung_for = 0")
    create_index(op, "equipment_faulty", "equipment", "first_seen_at, id, branch_id", where="open_faults > 0")


def downgrade() -> None:
    for name in ("equipment_faulty", "fault_unheard", "fault_open_newest", "fault_branch_newest"):
        drop_index(op, name)
