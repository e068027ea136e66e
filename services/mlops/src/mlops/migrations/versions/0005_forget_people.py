"""People and photos can be forgotten: pseudonyms in the audit, and examples whose photo is gone."""

import sqlalchemy as sa
from alembic import op

from laundry_service.audit import people

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("training_examples", sa.Column("photo_deleted_at", sa.DateTime(timezone=True)))
    op.add_column(
        "training_examples", sa.Column("retired", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.create_index("training_examples_confirmed_by", "training_examples", ["confirmed_by"])
    op.create_index("training_examples_photo", "training_examples", ["photo_sha256"])
    people.create(op)


def downgrade() -> None:
    people.drop(op)
    op.drop_index("training_examples_photo", "training_examples")
    op.drop_index("training_examples_confirmed_by", "training_examples")
    op.drop_column("training_examples", "retired")
    op.drop_column("training_examples", "photo_deleted_at")
