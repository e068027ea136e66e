"""What had its effect is never told as lost, and judging it takes no memory; on a history that is made up."""

import json
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from laundry.commands import audit_log, history, history_options, replay
from laundry.commands.history_options import EventHistory, Unhandled
from laundry.history import effects, log
from laundry.history.effects import Effects, Places
from laundry.history.log import Log, Names, Outline, Seen
from laundry.history.sieve import Sieve
from laundry_events.envelope import encode
from laundry_events.event import Event
from laundry_events.plan import Plan
from laundry_events.topology import PLAN
from laundry_servers.errors import LaundryError

from .task_events import read, submitted

MINUTE = timedelta(minutes=1)
BRANCH = "0199aabb-0000-7000-8000-000000000001"


class Stored:
    """A stream: what was stored when, read by time and, as a broker may, by subject."""

    def __init__(self) -> None:
        self.messages: list[tuple[datetime, str, Any]] = []
        self.reads: list[str | None] = []
        self.then: Callable[[], None] = lambda: None

    def add(self, event: Event, *, happened: timedelta, stored: timedelta = timedelta(0)) -> str:
        """Store an event; times are how long ago."""
        now = datetime.now(UTC)
        message = message_of(event, now - happened)
        self.messages.append((now - (stored or happened), event.subject, message))
        return str(message.headers["cloudEvents_id"])

    async def read(
        self, _: Any, __: str, *, since: datetime | None = None, about: str | None = None
    ) -> AsyncIterator[Any]:
        self.reads.append(about)
        for stored_at, subject, message in list(self.messages):
            if (since is None or stored_at >= since) and about in (None, subject):
                yield message
        self.then()

    def log(self) -> Log:
        @asynccontextmanager
        async def channel(**_: Any) -> AsyncIterator[None]:
            yield

        connection: Any = SimpleNamespace(channel=channel)

        async def fetch(*_: Any) -> list[Any]:
            return []

        return Log(connection, Names(SimpleNamespace(fetch=fetch)))


def message_of(event: Event, at: datetime) -> Any:
    outgoing = encode(event, source="/tests")
    headers = {**outgoing.headers, "cloudEvents_time": at.isoformat().replace("+00:00", "Z")}
    return SimpleNamespace(headers=headers, body=outgoing.body, routing_key=outgoing.routing_key)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Stored:
    found = Stored()
    monkeypatch.setattr(log, "read_stream", found.read)
    return found


@pytest.fixture
def urls(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An installation without the identity service; nothing of it is there but its addresses."""
    services = ("helper", "mlops", "monitoring", "notification", "operations", "search")
    urls = {service: f"postgresql://nobody@127.0.0.1:1/{service}" for service in services}
    monkeypatch.setenv(audit_log.VARIABLE, json.dumps(urls))
    monkeypatch.setenv("LAUNDRY_AMQP_URL", "amqp://kim:here@127.0.0.1:1/")
    monkeypatch.setenv("LAUNDRY_MANAGEMENT_URL", "http://kim:here@127.0.0.1:1")
    return urls


@pytest.fixture
def event_history(urls: dict[str, str], stored: Stored, monkeypatch: pytest.MonkeyPatch) -> EventHistory:
    """Photos alone are judged: their readings tell, and no database is asked."""

    async def totals() -> dict[str, int]:
        return {}

    async def dead_in(_: str) -> tuple[set[str], int]:
        return set(), 0

    async def none(*_: Any) -> set[str]:
        return set()

    monkeypatch.setattr(effects, "_discarded", none)
    monkeypatch.setattr(history_options, "PAUSES_S", (0.0,) * 3)
    made = EventHistory(None, None)
    made.places = Places({}, totals, dead_in, Plan(queues=(PLAN.queue("task.submitted"),), services=()))
    return made


async def test_an_answer_that_is_stored_after_the_first_look_is_found_however_old_it_is(
    event_history: EventHistory, stored: Stored
) -> None:
    stored.add(submitted("t1"), happened=10 * MINUTE)
    late = [read("t1")]

    def arrives() -> None:
        if late:
            stored.add(late.pop(), happened=5 * MINUTE, stored=timedelta(microseconds=1))

    stored.then = arrives
    found = await event_history.unhandled(stored.log(), None, None)
    assert (found.number, found.queues) == (1, [])


async def test_a_reading_after_the_end_of_what_is_asked_for_is_still_an_effect(
    event_history: EventHistory, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.add(submitted("t1"), happened=10 * MINUTE)
    lost = stored.add(submitted("t2"), happened=9 * MINUTE)
    stored.add(read("t1"), happened=2 * MINUTE)
    stored.add(submitted("t3"), happened=2 * MINUTE)
    until = datetime.now(UTC) - 5 * MINUTE
    found = await event_history.unhandled(stored.log(), None, until)
    assert found.number == 2
    assert [each.id for each in found.of("task.submitted")] == [lost]

    @asynccontextmanager
    async def opened() -> AsyncIterator[Log]:
        yield stored.log()

    async def no_acts(_: Any) -> list[Any]:
        return []

    monkeypatch.setattr(event_history, "log", opened)
    monkeypatch.setattr(history, "entries", no_acts)
    for task, state in (("t1", "done"), ("t2", "unhandled")):
        told, became, _ = await history._about(event_history, task, None, until)
        assert [became.of(each.outline) for each in told] == [{"task.submitted": state}]


async def test_what_somebody_else_looks_at_is_not_told_as_lost(
    event_history: EventHistory, stored: Stored
) -> None:
    stored.add(submitted("t1"), happened=10 * MINUTE)

    async def totals() -> dict[str, int]:
        return {"task.submitted.dlq": 1}

    event_history.places = Places({}, totals, event_history.places.dead_in, event_history.places.plan)
    found = await event_history.unhandled(stored.log(), None, None)
    assert (found.queues, found.unsure) == ([], {"task.submitted": 1})


async def test_all_of_a_branch_is_told_whose_id_looks_like_a_tasks(
    event_history: EventHistory, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = BRANCH.replace("1", "2")
    stored.add(submitted(task).model_copy(update={"branch_id": BRANCH}), happened=MINUTE)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Log]:
        yield stored.log()

    async def no_acts(_: Any) -> list[Any]:
        return []

    monkeypatch.setattr(event_history, "log", opened)
    monkeypatch.setattr(history, "entries", no_acts)
    for thing, reads in ((BRANCH, [BRANCH, None]), (task, [task])):
        stored.reads.clear()
        told, _, _ = await history._about(event_history, thing, None, None)
        assert [each.event.subject for each in told] == [task]
        assert stored.reads == reads, "the broker leaves out most of what a task's history is not"


def has_all(monkeypatch: pytest.MonkeyPatch, *, claimed: bool = True) -> None:
    """Every inbox knows everything; or nothing."""

    async def fetch(query: str, *values: Any) -> list[dict[str, str]]:
        ids: list[str] = values[-1]
        return [{"message_id": each} for each in ids] if claimed and query == effects.CLAIMED else []

    @asynccontextmanager
    async def connected(*_: Any) -> AsyncIterator[Any]:
        yield SimpleNamespace(fetch=fetch)

    monkeypatch.setattr(effects, "connected", connected)


async def test_a_long_history_is_judged_in_little_memory(
    event_history: EventHistory, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_all(monkeypatch)
    number, at = 4_000, datetime.now(UTC) - MINUTE

    async def long(*_: Any, **__: Any) -> AsyncIterator[Any]:
        for each in range(number):
            yield message_of(submitted(f"t{each}"), at)
            yield message_of(read(f"t{each}"), at)

    monkeypatch.setattr(log, "read_stream", long)
    places, plan = event_history.places, Plan(tuple(map(PLAN.queue, ("task.submitted", "task.read"))), ())
    event_history.places = Places({"helper": "..."}, places.totals, places.dead_in, plan)
    monkeypatch.setattr(history_options, "Sieve", partial(Sieve, at_once=1_000))
    tracemalloc.start()
    found = await event_history.unhandled(stored.log(), None, None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found.number, found.left) == (2 * number, [])
    assert peak / (2 * number) < 1_000, "bytes for each event"


def test_only_what_was_told_lately_is_remembered() -> None:
    seen = Seen(most=2)
    assert [each for each in ("a", "b", "a", "c", "b", "a") if seen.is_new(each)] == ["a", "b", "c", "a"]


def test_an_installation_without_the_identity_service_has_a_history(urls: dict[str, str]) -> None:
    made = EventHistory(None, None)
    assert made.without == ["identity"]
    assert made.places.databases == urls
    assert "identity" not in audit_log.addresses(None)
    with pytest.raises(LaundryError, match="identity"):
        audit_log.addresses(["identity"])


@pytest.mark.usefixtures("urls")
def test_no_other_service_may_be_missing(monkeypatch: pytest.MonkeyPatch, urls: dict[str, str]) -> None:
    del urls["search"]
    monkeypatch.setenv(audit_log.VARIABLE, json.dumps(urls))
    with pytest.raises(LaundryError, match="search"):
        EventHistory(None, None)


def unhandled(*queues: str) -> Unhandled:
    left = [Outline(queue, "", "", None, "") for queue in queues]
    return Unhandled(len(left), left, Effects({(queue, queue): "unhandled" for queue in queues}), {})


def test_a_request_for_erasure_that_passed_by_is_asked_again_and_not_replayed() -> None:
    with pytest.raises(LaundryError) as told:
        history._tell_unhandled(unhandled("person.erased.mlops", "task.read"), as_json=True)
    assert "--into task.read" in str(told.value)
    assert "--into person.erased" not in str(told.value)
    assert "operations asks mlops again" in str(told.value)
    with pytest.raises(LaundryError, match=r"asks person\.erased\.mlops again"):
        replay.meant("person.erased.mlops")
