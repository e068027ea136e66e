"""Whom an audit means: records bear a pseudonym, and a key beside them tells whose, until it is destroyed.

A pseudonym is a digest of the person and a random key that nobody else's has. While the key is there, anybody
can check that the record means this person and no other; without it the record still tells that one and the
same person did this and that, and nobody can find out who. The chain of hashes covers the pseudonym.
"""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_service.audit.table import CHAIN_LOCK

TABLE = """
CREATE TABLE audit_people (
  pseudonym text PRIMARY KEY,
  person text NOT NULL UNIQUE,
  key bytea NOT NULL,
  since timestamptz NOT NULL DEFAULT now()
)
"""
# 244 random bits, and 128 bits of digest: nobody finds another person and key for the same pseudonym.
PSEUDONYM = """
CREATE FUNCTION audit_pseudonym(person text, key bytea) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'person:' || left(encode(sha256(key || convert_to(person, 'UTF8')), 'hex'), 32)
$$
"""
# With the rights of the tables' owner: the service's own login may read keys, and change none.
PERSON = f"""
CREATE FUNCTION audit_person(who text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  known text;
  fresh bytea;
BEGIN
  SELECT a.pseudonym INTO known FROM public.audit_people a WHERE a.person = who;
  IF known IS NULL THEN
    PERFORM pg_advisory_xact_lock({CHAIN_LOCK});
    fresh := uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
    INSERT INTO public.audit_people (pseudonym, person, key)
    VALUES (public.audit_pseudonym(who, fresh), who, fresh)
    ON CONFLICT (person) DO NOTHING;
    SELECT a.pseudonym INTO known FROM public.audit_people a WHERE a.person = who;
  END IF;
  RETURN known;
END $$
"""  # noqa: S608
# Before "audit_chain" by its name, as triggers run in that order: the hash covers what is stored.
ACTOR = """
CREATE FUNCTION audit_actor() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW."by" := public.audit_person(NEW."by");
  NEW.record := jsonb_set(NEW.record::jsonb, '{by}', to_jsonb(NEW."by"))::json;
  RETURN NEW;
END $$
"""
TRIGGER = "CREATE TRIGGER audit_actor BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_actor()"
SHOWN = """
CREATE FUNCTION audit_shown(record json) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(
    (record::jsonb || jsonb_object_agg(told.name, a.person))::text,
    record::text
  )
  FROM jsonb_each_text(record::jsonb) AS told (name, pseudonym)
  JOIN public.audit_people a ON a.pseudonym = told.pseudonym
$$
"""
FORGET = """
CREATE FUNCTION audit_forget(who text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  gone text;
BEGIN
  DELETE FROM public.audit_people a WHERE a.person = who RETURNING a.pseudonym INTO gone;
  IF gone IS NULL THEN
    RETURN false;
  END IF;
  INSERT INTO public.audit (at, by, via, action, object, record)
  SELECT now(), 'erasure', 'event', 'person.forget', gone, json_build_object(
    'at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'by', 'erasure',
    'role', 'service', 'via', 'event', 'action', 'person.forget', 'object', gone, 'reason', NULL,
    'outcome', 'done', 'trace_id', NULL);
  RETURN true;
END $$
"""
FUNCTIONS = (
    "audit_forget(text)",
    "audit_shown(json)",
    "audit_actor()",
    "audit_person(text)",
    "audit_pseudonym(text, bytea)",
)
NAME = text("SELECT audit_person(:person)")


def create(op: Any) -> None:
    """Add the keys to an audit, in a migration; earlier records keep the names that they bear."""
    for statement in (TABLE, PSEUDONYM, PERSON, ACTOR, TRIGGER, SHOWN, FORGET):
        op.execute(statement)


def drop(op: Any) -> None:
    """Undo ``create``: whom the records mean is lost with the keys."""
    op.execute("DROP TRIGGER audit_actor ON audit")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.execute("DROP TABLE audit_people")


async def pseudonym_of(session: AsyncSession, person: str) -> str:
    """Return what stands for a person in the ``object`` of a record."""
    return str(await session.scalar(NAME, {"person": person}))
