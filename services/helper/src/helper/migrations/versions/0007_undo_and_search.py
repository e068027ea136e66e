"""Until when a confirmation can be taken back, and an index by which notes are searched."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "tasks",
        sa.Column(
            "undo_until",
            sa.DateTime(timezone=True),
            comment="Until then the event below waits in the outbox",
        ),
    )
    op.add_column("tasks", sa.Column("undo_event", sa.Text))
    op.create_index(
        "tasks_branch_noted",
        "tasks",
        ["branch_id", sa.text("id DESC")],
        postgresql_where=sa.text("note IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("tasks_branch_noted", "tasks")
    op.drop_column("tasks", "undo_event")
    op.drop_column("tasks", "undo_until")
