"""Equipment by branch and name, when things happened, what rings when, and who logged in with which token.

The release before goes on beside this one. It finds equipment by its name alone and, when it hears of another
branch, moves the row there: the trigger lets that change nothing where the other branch has a machine of the
same name, which it then updates with the same statement.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)

STAY = """
CREATE FUNCTION equipment_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM equipment WHERE branch_id = NEW.branch_id AND id = NEW.id) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$
"""


def upgrade() -> None:
    op.execute("ALTER TABLE equipment DROP CONSTRAINT equipment_pkey, ADD PRIMARY KEY (branch_id, id)")
    op.create_index("equipment_name", "equipment", ["id"])
    for name in ("happened_at", "back_at", "back_since", "code_at"):
        op.add_column("equipment", sa.Column(name, MOMENT))
    op.add_column("equipment", sa.Column("damping", JSONB, nullable=False, server_default="{}"))
    op.add_column("equipment", sa.Column("speaks_for", ARRAY(sa.Text)))
    op.execute(STAY)
    op.execute(
        "CREATE TRIGGER equipment_stays BEFORE UPDATE OF branch_id ON equipment FOR EACH ROW "
        "WHEN (OLD.branch_id <> NEW.branch_id) EXECUTE FUNCTION equipment_stays()"
    )

    op.execute(
        "CREATE UNIQUE INDEX sample_once ON sample "
        "(branch_id, equipment_id, recorded_at, coalesce(fault_code, ''))"
    )
    op.drop_constraint("sample_pkey", "sample", type_="primary")

    op.add_column("fault", sa.Column("recorded_at", MOMENT))
    op.add_column("fault", sa.Column("clock_off", sa.Boolean, nullable=False, server_default="false"))
    op.add_column("fault", sa.Column("count", sa.Integer, nullable=False, server_default="1"))
    op.add_column("fault", sa.Column("codes", ARRAY(sa.Text), nullable=False, server_default="{}"))
    op.add_column("fault", sa.Column("due_at", MOMENT))
    # What the release before stores, it tells of at once.
    op.add_column("fault", sa.Column("rung_for", sa.Integer, nullable=False, server_default="1"))
    op.add_column("fault", sa.Column("rung_at", MOMENT))
    op.add_column("fault", sa.Column("flapping", sa.Boolean, nullable=False, server_default="false"))
    op.add_column("fault", sa.Column("unsure", sa.Boolean, nullable=False, server_default="false"))
    op.drop_index("fault_open_once", "fault")
    op.create_index(
        "fault_open_once",
        "fault",
        ["branch_id", "equipment_id", "cause", "key"],
        unique=True,
        postgresql_where=sa.text("cleared_at IS NULL"),
    )
    op.create_index(
        "fault_due",
        "fault",
        ["due_at"],
        postgresql_where=sa.text("due_at IS NOT NULL AND cleared_at IS NULL"),
    )

    op.create_table(
        "device_login",
        sa.Column("equipment_id", sa.Text, primary_key=True),
        sa.Column("client_id", sa.Text, primary_key=True),
        sa.Column("branches", ARRAY(sa.Text), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("token_id", sa.Text),
        sa.Column("issued_at", MOMENT),
        sa.Column("signed_by", sa.Text),
        sa.Column("logged_in_at", MOMENT, server_default=sa.func.now(), nullable=False),
    )
    op.create_index("device_login_expires_at", "device_login", ["expires_at"])


def downgrade() -> None:
    op.drop_table("device_login")
    op.drop_index("fault_due", "fault")
    op.drop_index("fault_open_once", "fault")
    for name in ("unsure", "flapping", "rung_at", "rung_for", "due_at", "codes", "count", "clock_off"):
        op.drop_column("fault", name)
    op.drop_column("fault", "recorded_at")
    op.execute("DROP TRIGGER equipment_stays ON equipment")
    op.execute("DROP FUNCTION equipment_stays()")
    for name in ("speaks_for", "damping", "code_at", "back_since", "back_at", "happened_at"):
        op.drop_column("equipment", name)
    # Of machines of one name the one stays that was heard last, and of samples of one moment any.
    op.execute(
        "DELETE FROM equipment a USING equipment b "
        "WHERE a.id = b.id AND (a.heard_at, a.branch_id) < (b.heard_at, b.branch_id)"
    )
    op.execute(
        "DELETE FROM sample a USING sample b WHERE a.ctid < b.ctid AND "
        "(a.equipment_id, a.recorded_at) = (b.equipment_id, b.recorded_at)"
    )
    op.execute(
        "UPDATE fault SET cleared_at = now(), cleared_by = 'moved' WHERE cleared_at IS NULL AND NOT "
        "EXISTS (SELECT FROM equipment e WHERE (e.branch_id, e.id) = (fault.branch_id, fault.equipment_id))"
    )
    op.create_index(
        "fault_open_once",
        "fault",
        ["equipment_id", "cause", "key"],
        unique=True,
        postgresql_where=sa.text("cleared_at IS NULL"),
    )
    op.drop_index("equipment_name", "equipment")
    op.execute("ALTER TABLE equipment DROP CONSTRAINT equipment_pkey, ADD PRIMARY KEY (id)")
    op.drop_index("sample_once", "sample")
    op.create_primary_key("sample_pkey", "sample", ["equipment_id", "recorded_at"])
