"""Indexes of tables that may be large, for migrations: nobody waits while they are built.

They are built outside a transaction, so what the migration did before is committed, and a migration that is
cut off begins again: it does nothing else, or only what may be repeated.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

INVALID = sa.text("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")


def create_index(op: Any, name: str, table: str, columns: str, *, where: str | None = None) -> None:
    """Build an index while its table is read and written. ``columns`` and ``where`` are SQL."""
    with _outside_a_transaction(op):
        # An attempt that was cut off leaves an index that is kept up and never used.
        if op.get_bind().scalar(INVALID, {"name": name}):
            op.execute(f"DROP INDEX CONCURRENTLY {name}")
        condition = "" if where is None else f" WHERE {where}"
        op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {table} ({columns}){condition}")


def drop_index(op: Any, name: str) -> None:
    """Drop an index while its table is read and written."""
    with _outside_a_transaction(op):
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


@contextmanager
def _outside_a_transaction(op: Any) -> Iterator[None]:
    with op.get_context().autocommit_block():
        patience = op.get_bind().scalar(sa.text("SHOW lock_timeout"))
        # It waits for transactions that began before, and nobody waits behind it: it locks nothing they need.
        op.execute("SET lock_timeout = 0")
        yield
        op.execute(f"SET lock_timeout = '{patience}'")
