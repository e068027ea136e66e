"""Messages that share a transaction fare as if each had its own: rows, errors, order, time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from laundry_events import EventMeta, PermanentError, Received, batches, claim_once
from laundry_events.batches import Batches
from laundry_events.errors import InterruptedHandling
from laundry_events.events import TaskRead
from laundry_events.interruptions import uncancelled
from laundry_events.outcome import Ack, after_failure
from laundry_events.tables import inbox
from laundry_testing.events import reading
from laundry_testing.logs import logged_by

from .conftest import create_tables

CONSUMER = "tests.task-read"
KINDS = ("good", "fails", "dies", "breaks", "is interrupted", "is slow")
effects = sa.table("effects", sa.column("id", sa.Text), sa.column("place", sa.Integer))


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no batch be rolled back because this machine was busy; a test of that says otherwise."""
    monkeypatch.setattr(batches, "WITHIN_S", 60)


def meta_of(message_id: str, attempt: int = 1) -> EventMeta:
    return EventMeta(
        message_id, "TaskRead", "/tests", None, None, 1, "task.read", "task.read", attempt=attempt
    )


class Server:
    """Stores a row for each message, unless it is of a kind that does otherwise; counts transactions."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.transactions = 0
        self.there = True
        self.groups: list[int] = []
        self.slow_s = 0.0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        self.transactions += 1
        if not self.there:
            raise ConnectionError("away")
        async with self.engine.begin() as connection:
            yield connection

    async def handle(self, session: AsyncConnection, messages: Sequence[Received[TaskRead]]) -> None:
        self.groups.append(len(messages))
        for event, meta in messages:
            await self.have_effect(session, event, meta)

    async def have_effect(self, session: AsyncConnection, event: TaskRead, meta: EventMeta) -> None:
        await session.execute(sa.insert(effects).values(id=meta.id, place=1))
        match event.task_id:
            case "fails":
                raise ValueError(meta.id)
            case "dies":
                raise PermanentError(meta.id)
            case "breaks":
                await session.execute(text("SELECT * FROM nowhere"))
            case "is interrupted":
                raise asyncio.CancelledError
            case "is slow":
                await asyncio.sleep(self.slow_s)

    async def alone(self, event: TaskRead, meta: EventMeta) -> None:
        """Handle a message as ``EventConsumer.on`` has it done."""
        async with self.transaction() as session:
            if await claim_once(session, CONSUMER, meta.id):
                try:
                    await self.have_effect(session, event, meta)
                except asyncio.CancelledError as error:
                    raise InterruptedHandling from error

    async def rows(self) -> tuple[list[str], list[str]]:
        async with self.engine.connect() as connection:
            had = await connection.execute(sa.select(effects.c.id).order_by(effects.c.id))
            noted = await connection.execute(sa.select(inbox.c.message_id).order_by(inbox.c.message_id))
            return list(had.scalars()), list(noted.scalars())

    async def forget(self) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(text("TRUNCATE effects, inbox"))


@asynccontextmanager
async def serving(database_url: str) -> AsyncIterator[Server]:
    engine = create_async_engine(database_url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(create_tables)
            # Not unique: a second effect would be seen.
            await connection.execute(text("CREATE TABLE effects (id text, place integer)"))
        yield Server(engine)
    finally:
        await engine.dispose()


def batches_of(server: Server) -> Batches[AsyncConnection, TaskRead]:
    return Batches(
        "task.read",
        server.handle,
        inbox=CONSUMER,
        transaction=server.transaction,
        is_away=lambda error: not server.there and isinstance(error, ConnectionError),
    )


async def outcome_of(handling: "asyncio.Future[None]") -> str:
    try:
        await handling
    except asyncio.CancelledError as error:
        raise AssertionError("no message may end another's handling") from error
    except Exception as error:
        return f"{type(error).__name__} {after_failure(error, attempt=1, max_attempts=4).__class__.__name__}"
    return Ack.__name__


messages = st.lists(
    st.tuples(st.integers(0, 7).map(str), st.sampled_from(KINDS)), min_size=1, max_size=12
).map(lambda drawn: [(f"{kind}-{number}", kind) for number, kind in drawn])


@pytest.mark.servers
def test_any_mix_ends_in_the_same_rows_and_the_same_outcomes_as_one_by_one(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "WITHIN_S", 0.05)
    with asyncio.Runner() as runner:
        entered = serving(database_url)
        server = runner.run(entered.__aenter__())
        server.slow_s = 0.08

        async def one_by_one(mix: Sequence[tuple[str, str]]) -> list[str]:
            return [
                await outcome_of(asyncio.ensure_future(server.alone(reading(kind), meta_of(message_id))))
                for message_id, kind in mix
            ]

        async def together(mix: Sequence[tuple[str, str]]) -> list[str]:
            handled = batches_of(server)
            tasks = [
                asyncio.create_task(uncancelled(handled.handle(reading(kind), meta_of(message_id))))
                for message_id, kind in mix
            ]
            return [await outcome_of(task) for task in tasks]

        @settings(
            max_examples=25,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(messages)
        def same(mix: list[tuple[str, str]]) -> None:
            runner.run(server.forget())
            expected = runner.run(one_by_one(mix)), runner.run(server.rows())
            runner.run(server.forget())
            assert (runner.run(together(mix)), runner.run(server.rows())) == expected

        try:
            same()
        finally:
            runner.run(entered.__aexit__(None, None, None))


@pytest.mark.servers
async def test_what_has_arrived_is_one_transaction_and_nothing_waits_for_more(database_url: str) -> None:
    async with serving(database_url) as server:
        handled = batches_of(server)
        await handled.handle(reading(), meta_of("first"))
        assert server.groups == [1]
        await asyncio.gather(*(handled.handle(reading(), meta_of(f"m{number:02}")) for number in range(40)))
        assert server.groups == [1, 40]
        assert server.transactions == 2
        async with server.engine.connect() as connection:
            stored = await connection.execute(sa.select(effects.c.id).where(effects.c.id != "first"))
        assert list(stored.scalars()) == [f"m{number:02}" for number in range(40)], "in the order of arrival"


@pytest.mark.servers
async def test_a_message_that_failed_before_spoils_no_batch(database_url: str) -> None:
    async with serving(database_url) as server:
        handled = batches_of(server)
        good = [handled.handle(reading(), meta_of(f"m{number}")) for number in range(3)]
        bad = handled.handle(reading("fails"), meta_of("bad", attempt=2))
        outcomes = await asyncio.gather(*good, bad, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [type(None)] * 3 + [ValueError]
        assert sorted(server.groups) == [1, 3]


@pytest.mark.servers
async def test_a_message_whose_row_somebody_holds_holds_up_no_other(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "WITHIN_S", 0.2)
    async with serving(database_url) as server:
        handled = batches_of(server)
        async with server.engine.begin() as holder:
            await claim_once(holder, CONSUMER, "held")
            with logged_by("laundry_events.batches") as said:
                waiting = asyncio.create_task(handled.handle(reading(), meta_of("held")))
                behind = [handled.handle(reading(), meta_of(f"m{number}")) for number in range(5)]
                async with asyncio.timeout(20):
                    await asyncio.gather(*behind)
            assert not waiting.done()
            assert [line["error"].split(":")[0] for line in said] == ["TimeoutError"]
        await waiting
        assert (await server.rows())[0] == [f"m{number}" for number in range(5)], "the holder had that effect"


@pytest.mark.servers
async def test_while_the_server_is_away_each_hears_of_it_and_few_try_again(database_url: str) -> None:
    async with serving(database_url) as server:
        handled = batches_of(server)
        server.there = False
        errors = await asyncio.gather(
            *(handled.handle(reading(), meta_of(f"m{number}")) for number in range(50)),
            return_exceptions=True,
        )
        assert {type(error) for error in errors} == {ConnectionError}
        assert server.transactions == 1, "those who hear of it do not try by themselves"
        server.there = True
        await asyncio.gather(*(handled.handle(reading(), meta_of(f"m{number}")) for number in range(50)))
        assert len((await server.rows())[0]) == 50


@pytest.mark.servers
async def test_an_error_that_is_of_none_is_found_out_one_by_one(database_url: str) -> None:
    """A constraint that is checked at the commit names no message."""
    async with serving(database_url) as server:
        async with server.engine.begin() as connection:
            unique = "ALTER TABLE effects ADD UNIQUE (place) DEFERRABLE INITIALLY DEFERRED"
            await connection.execute(text(unique))
        handled = batches_of(server)
        outcomes = await asyncio.gather(
            *(handled.handle(reading(), meta_of(f"m{number}")) for number in range(4)),
            return_exceptions=True,
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["IntegrityError"] * 3 + ["NoneType"]
        assert len((await server.rows())[0]) == 1


@pytest.mark.servers
async def test_a_batch_is_no_larger_than_it_may_be(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "AT_MOST", 7)
    async with serving(database_url) as server:
        handled = batches_of(server)
        await asyncio.gather(*(handled.handle(reading(), meta_of(f"m{number}")) for number in range(20)))
        assert server.groups == [7, 7, 6]
