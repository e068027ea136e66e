"""What the photos of one load have in common; photos taken again; what owners corrected of a helper's."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATES = "status IN ('submitted', 'read', 'unreadable', 'confirmed'{more})"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("load_id", sa.Text))
    op.add_column("tasks", sa.Column("replaced_by", sa.Uuid(as_uuid=False)))
    _allow(STATES.format(more=", 'withdrawn'"))
    op.create_index(
        "tasks_helper_corrected",
        "tasks",
        ["helper_id", sa.text("id DESC")],
        postgresql_where=sa.text("corrected"),
    )


def downgrade() -> None:
    # Before there was this state, a photo that was not wanted had no row.
    op.execute("DELETE FROM tasks WHERE status = 'withdrawn'")
    op.drop_index("tasks_helper_corrected", "tasks")
    _allow(STATES.format(more=""))
    op.drop_column("tasks", "replaced_by")
    op.drop_column("tasks", "load_id")


def _allow(states: str) -> None:
    op.drop_constraint("tasks_status", "tasks")
    # Checked apart from being added: uploads go on while the rows are looked at.
    op.execute(f"ALTER TABLE tasks ADD CONSTRAINT tasks_status CHECK ({states}) NOT VALID")
    op.execute("ALTER TABLE tasks VALIDATE CONSTRAINT tasks_status")
