"""The outbox and the inbox as tables of the service's own database, for its models and its migrations."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import CreateIndex, CreateTable

OUTBOX_CHANNEL = "laundry_outbox"

_NOTIFY = f"""
CREATE FUNCTION outbox_notify() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('{OUTBOX_CHANNEL}', ''); RETURN NULL; END $$;
"""
_VACUUM = """
ALTER TABLE outbox SET (
    autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000,
    toast.autovacuum_vacuum_scale_factor = 0.0, toast.autovacuum_vacuum_threshold = 5000
)
"""
_TRIGGER = """
CREATE TRIGGER outbox_inserted AFTER INSERT ON outbox
FOR EACH STATEMENT EXECUTE FUNCTION outbox_notify();
"""

messaging_metadata = sa.MetaData()

outbox = sa.Table(
    "outbox",
    messaging_metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("routing_key", sa.Text, nullable=False),
    sa.Column("headers", JSONB, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    sa.Column("attempts", sa.Integer, server_default="0", nullable=False),
    sa.Column("next_attempt_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    sa.Column("last_error", sa.Text),
    # What is due first, of each key: neither rows that are deferred nor another queue's stand in front.
    sa.Index("outbox_due", "routing_key", "next_attempt_at", "id"),
)

inbox = sa.Table(
    "inbox",
    messaging_metadata,
    sa.Column("consumer", sa.Text, primary_key=True),
    sa.Column("message_id", sa.Text, primary_key=True),
    sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    sa.Index("inbox_received_at", "received_at"),
)


def _create(op: Any, table: sa.Table) -> None:
    """Create a table by statements as text, which any tool for migrations runs."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    op.execute(str(CreateTable(table).compile(dialect=dialect)))
    for index in table.indexes:
        op.execute(str(CreateIndex(index).compile(dialect=dialect)))


def create_outbox(op: Any) -> None:
    """Create the outbox in an alembic migration, with the trigger that wakes the relay on commit."""
    _create(op, outbox)
    # Rows come and go by the thousand: vacuum early, or the table and its index bloat.
    op.execute(_VACUUM)
    op.execute(_NOTIFY)
    op.execute(_TRIGGER)


def improve_outbox(op: Any) -> None:
    """Upgrade an outbox that an older ``create_outbox`` made. Safe to repeat."""
    op.execute("CREATE INDEX IF NOT EXISTS outbox_due ON outbox (routing_key, next_attempt_at, id)")
    op.execute(_VACUUM)


def drop_outbox(op: Any) -> None:
    """Drop the table and the function that ``create_outbox`` made."""
    op.execute("DROP TABLE outbox")
    op.execute("DROP FUNCTION outbox_notify")


def create_inbox(op: Any) -> None:
    """Create the inbox in an alembic migration."""
    _create(op, inbox)


def drop_inbox(op: Any) -> None:
    """Drop the table that ``create_inbox`` made."""
    op.execute("DROP TABLE inbox")
