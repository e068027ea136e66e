"""Indexes by which lists and sweeps find their rows among ten million tasks."""

from alembic import op

from laundry_service.storage.online import create_index, drop_index

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

OLDER_CODE_MAY_RUN = True


def upgrade() -> None:
    create_index(op, "tasks_status_newest", "tasks", "status, id DESC", where="status <> 'confirmed'")
    create_index(
        op,
        "tasks_photo_kept_by_branch",
        "tasks",
        "branch_id, confirmed_at",
        where="photo_deleted_at IS NULL AND confirmed_at IS NOT NULL",
    )
    create_index(op, "submissions_task", "submissions", "task_id", where="expires_at IS NULL")
    drop_index(op, "tasks_photo_kept")


def downgrade() -> None:
    create_index(
        op,
        "tasks_photo_kept",
        "tasks",
        "confirmed_at, branch_id",
        where="photo_deleted_at IS NULL AND confirmed_at IS NOT NULL",
    )
    drop_index(op, "submissions_task")
    drop_index(op, "tasks_photo_kept_by_branch")
    drop_index(op, "tasks_status_newest")
