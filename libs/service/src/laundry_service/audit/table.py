"""The table of an audit: for migrations, which its owner runs; the service's login may read and add, no more.

A row gets its number and its hashes from a trigger. Another one refuses every change; it is there for whoever
could make one by mistake, as the owner may drop it.
"""

from typing import Any

CHAIN_LOCK = 0x1A0DA0D
TABLE = "audit"

HASH = r"""
CREATE FUNCTION audit_hash(previous text, number bigint, record text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT encode(sha256(convert_to(previous || E'\n' || number || E'\n' || record, 'UTF8')), 'hex')
$$
"""
CHAIN = f"""
CREATE FUNCTION audit_chain() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  newest record;
BEGIN
  -- Held until the commit: rows get their places one after another, as they become visible.
  PERFORM pg_advisory_xact_lock({CHAIN_LOCK});
  SELECT a.number, a.hash INTO newest FROM public.audit a ORDER BY a.number DESC LIMIT 1;
  NEW.number := coalesce(newest.number, 0) + 1;
  NEW.previous := coalesce(newest.hash, repeat('0', 64));
  NEW.hash := public.audit_hash(NEW.previous, NEW.number, NEW.record::text);
  RETURN NEW;
END $$
"""  # noqa: S608
REFUSE = """
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'the audit is only added to, never changed (%)', TG_OP
    USING ERRCODE = 'insufficient_privilege';
END $$
"""
TRIGGERS = (
    "CREATE TRIGGER audit_chain BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_chain()",
    "CREATE TRIGGER audit_rows BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
    "CREATE TRIGGER audit_whole BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
)
CREATE = """
CREATE TABLE audit (
  number bigint PRIMARY KEY,
  at timestamptz NOT NULL,
  by text NOT NULL,
  via text NOT NULL,
  action text NOT NULL,
  object text,
  record json NOT NULL,
  previous text NOT NULL,
  hash text NOT NULL
)
"""


def create(op: Any) -> None:
    """Make the table, in a migration (``op`` is alembic's)."""
    op.execute(CREATE)
    guard(op)


def guard(op: Any) -> None:
    """Add triggers that chain every new row and reject every change."""
    for statement in (HASH, CHAIN, REFUSE, *TRIGGERS):
        op.execute(statement)


def drop(op: Any) -> None:
    """Remove the table, its triggers and their functions: the reverse of ``create``."""
    op.execute("DROP TABLE audit")
    for function in ("audit_chain()", "audit_refuse()", "audit_hash(text, bigint, text)"):
        op.execute(f"DROP FUNCTION {function}")
