"""The audit: a chain that the service's own login can add to and nothing else."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from laundry_servers.addresses import DatabaseAddress
from laundry_servers.postgres import drop_database, ensure_database
from laundry_service.audit.acts import COLUMNS, Act, Actor, row_of
from laundry_service.audit.chain import NOTHING, START, Checker, Head, Row, hash_of
from laundry_service.audit.heads import head_teller
from laundry_service.migrate import upgrade
from laundry_testing.logs import logged_by

OWNER, SERVICE = ("laundry_test_owner", "owner"), ("laundry_test_service", "service")
INSERT = f"INSERT INTO audit ({', '.join(COLUMNS)}) VALUES ($1, $2, $3, $4, $5, $6)"
ALL = "SELECT number, previous, hash, record::text AS record FROM audit ORDER BY number"
ACT = Act("equipment.retire", "washer-1", Actor("kim", "operator"), "scrapped")


def urls(address: DatabaseAddress, name: str) -> tuple[str, str]:
    return address.url(name, *OWNER), address.url(name, *SERVICE)


@pytest_asyncio.fixture(params=["mlops", "monitoring", "operations"])
async def database(
    request: pytest.FixtureRequest, postgres: DatabaseAddress
) -> AsyncIterator[tuple[str, str]]:
    """A service's database with its tables; the owner's address and the service's."""
    name = f"test_{secrets.token_hex(6)}"
    await ensure_database(postgres, name, *SERVICE, owner=OWNER)
    owner, service = urls(postgres, name)
    made_by = owner.replace("postgresql://", "postgresql+asyncpg://", 1)
    await upgrade(request.param, made_by, served_by=SERVICE[0])
    yield owner, service
    await drop_database(postgres, name)


async def add(connection: Any, act: Act = ACT) -> None:
    row = row_of(act, datetime.now(UTC))
    await connection.execute(INSERT, *(row[name] for name in COLUMNS))


async def rows(connection: Any) -> list[Row]:
    return [Row(**dict(row)) for row in await connection.fetch(ALL)]


async def names(connection: Any, of: str = "by") -> list[str]:
    """Return whom the records mean, as people see them."""
    found = await connection.fetch("SELECT audit_shown(record) AS shown FROM audit ORDER BY number")
    return [json.loads(row["shown"])[of] for row in found]


def faults(chain: list[Row], *anchors: Head) -> list[str]:
    checker = Checker()
    checker.expect(anchors)
    for row in chain:
        checker.take(row)
    return checker.end()


FORBIDDEN = [
    "UPDATE audit SET record = '{}'",
    "DELETE FROM audit",
    "TRUNCATE audit",
    "DROP TABLE audit",
    "ALTER TABLE audit DISABLE TRIGGER ALL",
    "ALTER TABLE audit OWNER TO laundry_test_service",
    "DROP TRIGGER audit_chain ON audit",
    "CREATE OR REPLACE FUNCTION audit_hash(text, bigint, text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
    "CREATE TRIGGER mine BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
    "CREATE RULE mine AS ON INSERT TO audit DO INSTEAD NOTHING",
    "GRANT ALL ON audit TO laundry_test_service",
    "SET ROLE laundry_test_owner",
    "UPDATE audit_people SET person = 'lee'",
    "DELETE FROM audit_people",
    "INSERT INTO audit_people (pseudonym, person, key) VALUES ('person:1', 'lee', '1')",
    "DROP TRIGGER audit_actor ON audit",
    "SET session_replication_role = replica",
    "CREATE TABLE mine (a int)",
    "DROP SCHEMA public CASCADE",
    "UPDATE alembic_version SET version_num = '0001'",
    "INSERT INTO audit (number, at, by, via, action, record, previous, hash) "
    "VALUES (1, now(), 'x', 'x', 'x', '{}', 'x', 'x') ON CONFLICT (number) DO UPDATE SET record = '{}'",
]


@pytest.mark.servers
async def test_the_services_own_login_adds_to_the_audit_and_can_do_nothing_else_to_it(
    database: tuple[str, str],
) -> None:
    connection = await asyncpg.connect(database[1], timeout=10)
    try:
        await add(connection)
        before = await rows(connection)
        for statement in FORBIDDEN:
            refused = ""
            try:
                await connection.execute(statement)
            except asyncpg.PostgresError as error:
                refused = str(error)
            assert refused or statement.startswith("GRANT"), statement
            # A GRANT without the right to grant only warns.
            assert not await connection.fetchval(
                "SELECT has_table_privilege('audit', 'UPDATE, DELETE, TRUNCATE')"
            )
            assert await rows(connection) == before, statement
    finally:
        await connection.close()


@pytest.mark.servers
async def test_what_a_row_says_of_its_own_place_does_not_count(database: tuple[str, str]) -> None:
    connection = await asyncpg.connect(database[1], timeout=10)
    try:
        await add(connection)
        await connection.execute(
            "INSERT INTO audit (number, at, by, via, action, record, previous, hash) "
            "VALUES (70, now(), 'x', 'x', 'x', '{}', 'mine', 'mine')"
        )
        found = await rows(connection)
    finally:
        await connection.close()
    assert [row.number for row in found] == [1, 2]
    assert faults(found) == []


@pytest.mark.servers
async def test_even_the_owner_changes_no_row_by_mistake(database: tuple[str, str]) -> None:
    connection = await asyncpg.connect(database[0], timeout=10)
    try:
        await add(connection)
        for statement in FORBIDDEN[:3]:
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only added to"):
                await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.servers
async def test_rows_that_come_at_once_are_one_chain_and_what_is_undone_leaves_no_gap(
    database: tuple[str, str],
) -> None:
    async def many(number: int) -> None:
        connection = await asyncpg.connect(database[1], timeout=10)
        try:
            for count in range(10):
                undone = connection.transaction()
                await undone.start()
                await add(connection)
                await (undone.rollback() if count % 3 == 2 else undone.commit())
        finally:
            await connection.close()

    async with asyncio.timeout(60):
        await asyncio.gather(*(many(number) for number in range(8)))
    connection = await asyncpg.connect(database[1], timeout=10)
    try:
        found = await rows(connection)
    finally:
        await connection.close()
    assert [row.number for row in found] == list(range(1, 57))
    assert faults(found) == []


@pytest.mark.servers
async def test_the_verifier_finds_what_the_owner_did_to_the_table(database: tuple[str, str]) -> None:
    connection = await asyncpg.connect(database[0], timeout=10)
    try:
        for number in range(4):
            await add(connection, Act("model.promote", f"m-{number}", Actor("kim", "operator")))
        whole = await rows(connection)
        seen = Head(whole[-1].number, whole[-1].hash)
        await connection.execute("ALTER TABLE audit DISABLE TRIGGER ALL")
        await connection.execute(
            "UPDATE audit SET record = replace(record::text, 'operator', 'owner')::json WHERE number = 2"
        )
        assert faults(await rows(connection)) == ["row 2 was changed: its hash is not that of its record"]
        await connection.execute("DELETE FROM audit WHERE number = 2")
        assert faults(await rows(connection)) == ["row 3 does not follow row 1: rows are missing or moved"]
        await connection.execute("DELETE FROM audit WHERE number > 1")
        assert faults(await rows(connection)) == []
        assert faults(await rows(connection), seen) == [
            "the end is missing: it ends with row 1, and row 4 was seen"
        ]
    finally:
        await connection.close()


@pytest.mark.servers
async def test_what_was_recorded_before_there_was_a_chain_becomes_its_beginning(
    postgres: DatabaseAddress,
) -> None:
    name = f"test_{secrets.token_hex(6)}"
    await ensure_database(postgres, name, *SERVICE)
    _, url = urls(postgres, name)
    try:
        await upgrade("operations", url.replace("postgresql://", "postgresql+asyncpg://", 1), "0001")
        connection = await asyncpg.connect(url, timeout=10)
        old = (
            "INSERT INTO audit (by, via, run, action, queue, fingerprint, record) "
            "VALUES ($1::json->>'by', 'cli', 'r', 'discard', 'task.read', 'f', $1)"
        )
        for number in range(3):
            await connection.execute(old, json.dumps({"by": "kim", "n": number}))
        await connection.close()
        # The database changes hands, as that of a stack from before there were two logins.
        await ensure_database(postgres, name, *SERVICE, owner=OWNER)
        owner, _ = urls(postgres, name)
        made_by = owner.replace("postgresql://", "postgresql+asyncpg://", 1)
        await upgrade("operations", made_by, served_by=SERVICE[0])
        connection = await asyncpg.connect(url, timeout=10)
        # A service of the release before goes on through a rolling update.
        await connection.execute(old, json.dumps({"by": "lee"}))
        await add(connection)
        found, shown = await rows(connection), await names(connection)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM audit")
        await connection.close()
    finally:
        await drop_database(postgres, name)
    assert shown == ["kim", "kim", "kim", "lee", "kim"]
    assert faults(found) == []


@pytest.mark.servers
async def test_a_person_is_forgotten_and_who_did_what_can_still_be_proved_of_the_others(
    database: tuple[str, str],
) -> None:
    connection = await asyncpg.connect(database[1], timeout=10)
    try:
        for who in ("kim", "lee", "kim"):
            await add(connection, Act("model.promote", "m-1", Actor(who, "operator")))
        about = await connection.fetchval("SELECT audit_person('kim')")
        await add(connection, Act("person.export", about, Actor("lee", "operator")))
        before = await rows(connection)
        assert not [row for row in before if "kim" in row.record or "lee" in row.record]
        assert await names(connection) == ["kim", "lee", "kim", "lee"]
        assert await names(connection, "object") == ["m-1", "m-1", "m-1", "kim"]
        keys = {row["pseudonym"]: row for row in await connection.fetch("SELECT * FROM audit_people")}
        for name, row in keys.items():
            proof = await connection.fetchval("SELECT audit_pseudonym($1, $2)", row["person"], row["key"])
            assert proof == name, "the key proves whom a pseudonym means"
            other = await connection.fetchval("SELECT audit_pseudonym('park', $1)", row["key"])
            assert other != name

        assert await connection.fetchval("SELECT audit_forget('kim')")
        assert not await connection.fetchval("SELECT audit_forget('kim')")
        after = await rows(connection)
        assert after[: len(before)] == before
        assert faults(after) == []
        gone, lee = (json.loads(before[number].record)["by"] for number in (0, 1))
        assert await names(connection) == [gone, "lee", gone, "lee", "erasure"]
        assert json.loads(after[-1].record) | {"object": gone} == json.loads(after[-1].record)
        left = await connection.fetch("SELECT audit_people::text FROM audit_people")
        assert [row for row in left if "kim" in row[0]] == []
        assert lee in keys
        # Who comes back is somebody else to the audit.
        await add(connection, Act("model.promote", "m-2", Actor("kim", "operator")))
        assert (await names(connection))[-1] == "kim"
        assert json.loads((await rows(connection))[-1].record)["by"] != gone
    finally:
        await connection.close()


def chain_of(records: list[str]) -> list[Row]:
    made, before = [], START
    for number, record in enumerate(records, start=1):
        digest = hash_of(before, number, record)
        made.append(Row(number, before, digest, record))
        before = digest
    return made


texts = st.lists(st.text(max_size=20).map(json.dumps), min_size=2, max_size=8, unique=True)


@given(texts, st.data())
def test_any_row_that_is_changed_removed_or_moved_is_found(records: list[str], data: st.DataObject) -> None:
    whole = chain_of(records)
    head = Head(whole[-1].number, whole[-1].hash)
    assert faults(whole, head, NOTHING) == []
    place = data.draw(st.integers(0, len(whole) - 1))
    row = whole[place]
    changed = [*whole[:place], Row(row.number, row.previous, row.hash, row.record + " "), *whole[place + 1 :]]
    removed = whole[:place] + whole[place + 1 :]
    other = data.draw(st.integers(0, len(whole) - 1).filter(lambda number: number != place))
    moved = list(whole)
    moved[place], moved[other] = moved[other], moved[place]
    rewritten = chain_of([*records[:place], json.dumps("another"), *records[place + 1 :]])
    for broken in (changed, removed, moved, rewritten, whole[:place]):
        assert faults(broken, head)


def test_a_stranger_in_a_record_is_made_fit_for_the_database() -> None:
    act = Act("model.promote", "m\0", Actor("a\ud800b", "operator"), "x" * 900)
    record = json.loads(row_of(act, datetime.now(UTC))["record"])
    assert (record["object"], record["by"], len(record["reason"])) == ("m\ufffd", "a?b", 500)


@pytest.mark.parametrize("text", ["", "1", "x:" + "0" * 64, "1:abc", ":" + "0" * 64])
def test_a_head_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="NUMBER:HASH"):
        Head.parse(text)


async def test_the_head_is_told_once_for_each_that_is_new() -> None:
    heads: list[tuple[int, str] | None] = [None, (1, "a"), (1, "a"), (2, "b")]
    tell = head_teller(lambda: asyncio.sleep(0, heads.pop(0)))
    with logged_by("laundry_service.audit.heads") as logs:
        for _ in range(4):
            await tell()
    assert [each["head"] for each in logs] == ["1:a", "2:b"]
