"""The audit becomes a chain that is only added to, and keeps what people did to jobs too."""

import sqlalchemy as sa
from alembic import op

from laundry_service.audit import table

revision = "0002"
down_revision = "0001"

CHAIN_WHAT_IS_THERE = """
DO $$
DECLARE
  each record;
  before text := repeat('0', 64);
BEGIN
  FOR each IN SELECT number, record FROM audit ORDER BY number LOOP
    UPDATE audit SET previous = before, hash = audit_hash(before, each.number, each.record::text)
    WHERE number = each.number RETURNING hash INTO before;
  END LOOP;
END $$
"""


def upgrade() -> None:
    op.add_column("audit", sa.Column("object", sa.Text))
    op.add_column("audit", sa.Column("previous", sa.Text))
    op.add_column("audit", sa.Column("hash", sa.Text))
    op.execute(table.HASH)
    op.execute(CHAIN_WHAT_IS_THERE)
    # Acts on jobs concern no letter.
    for name, nullable in {
        "previous": False,
        "hash": False,
        "run": True,
        "queue": True,
        "fingerprint": True,
    }.items():
        op.alter_column("audit", name, nullable=nullable)
    op.execute("ALTER TABLE audit ALTER COLUMN number DROP IDENTITY")
    for statement in (table.CHAIN, table.REFUSE, *table.TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    for name in ("audit_chain", "audit_rows", "audit_whole"):
        op.execute(f"DROP TRIGGER {name} ON audit")
    for function in ("audit_chain()", "audit_refuse()", "audit_hash(text, bigint, text)"):
        op.execute(f"DROP FUNCTION {function}")
    op.execute("DELETE FROM audit WHERE fingerprint IS NULL")
    for name in ("run", "queue", "fingerprint"):
        op.alter_column("audit", name, nullable=False)
    for name in ("object", "previous", "hash"):
        op.drop_column("audit", name)
    op.execute("ALTER TABLE audit ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY")
    op.execute("SELECT setval(pg_get_serial_sequence('audit', 'number'), (SELECT max(number) FROM audit))")
