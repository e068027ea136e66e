"""Let browsers take pushes: their keys, a name for each device, and when its user tried it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    # The release before goes on writing rows without any of these.
    op.add_column("devices", sa.Column("name", sa.Text, nullable=False, server_default=""))
    op.add_column("devices", sa.Column("p256dh", sa.Text))
    op.add_column("devices", sa.Column("auth", sa.Text))
    op.add_column("devices", sa.Column("tried_at", sa.DateTime(timezone=True)))
    op.create_check_constraint("devices_keys", "devices", "(p256dh IS NULL) = (auth IS NULL)")


def downgrade() -> None:
    # A browser's endpoint is no token of FCM: the release before could not push to it.
    op.execute("DELETE FROM deliveries WHERE token IN (SELECT token FROM devices WHERE p256dh IS NOT NULL)")
    op.execute("DELETE FROM devices WHERE p256dh IS NOT NULL")
    op.drop_constraint("devices_keys", "devices")
    for name in ("tried_at", "auth", "p256dh", "name"):
        op.drop_column("devices", name)
