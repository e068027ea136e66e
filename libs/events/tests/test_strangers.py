"""Whatever can be published to whichever queue: the good beside it arrives, and it is a letter to handle."""

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from laundry_dead_letters.actions import Bounds, Tally, exported, look, redrive, remove, summarise
from laundry_dead_letters.audit import FileAudit
from laundry_dead_letters.broker import connected
from laundry_dead_letters.dead_letter import UNSAID, DeadLetter, OperatorAction, Selection
from laundry_events import EventConsumer, EventMeta, PermanentError, Publisher, make_broker
from laundry_events.envelope import encode
from laundry_events.event import Event
from laundry_events.events import (
    CountedLabel,
    EquipmentFault,
    FaultAcknowledged,
    ModelPromoted,
    PersonErased,
    PersonForgotten,
    Photo,
    PhotoDeleted,
    PreferenceCreated,
    PreferenceWithdrawn,
    TaskConfirmed,
    TaskRead,
    TaskSubmitted,
)
from laundry_events.plan import DEAD_EXCHANGE, DEFAULT_RETRY_DELAYS_S, Plan, dead_queue
from laundry_events.signing import MessageSigner
from laundry_events.topology import HISTORY_INTAKE, PLAN, TELEMETRY_EXCHANGE
from laundry_servers.raw_mqtt import raw_mqtt, user_property
from laundry_testing.messaging import Messaging, eventually

from .strangers import PACKETS, Packet, Stranger, raw_amqp, strangers

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

PROMISED_S = 2.0
"""Of most good messages: others share this machine's processors, so now and then one takes longer."""

KEY = "k" * 32
EACH = 12
BURIED = 4
BY_MQTT = 30
QUEUES = [queue for queue in PLAN.queues if queue.dead]
TELEMETRY = "telemetry.reported"
NOW = datetime.now(UTC)
PHOTO = Photo(key="photos/1", sha256="0" * 64, bytes=1, media_type="image/jpeg")
EVENTS: tuple[Event, ...] = (
    TaskSubmitted(task_id="t", task_version=1, branch_id="b1", helper_id="h", photo=PHOTO, submitted_at=NOW),
    TaskRead(task_id="t", task_version=1, branch_id="b1", outcome="read", model_version="m", read_at=NOW),
    TaskConfirmed(
        task_id="t",
        task_version=1,
        branch_id="b1",
        photo=PHOTO,
        labels=[CountedLabel(label="shirt")],
        corrected=False,
        confirmed_by="o",
        confirmed_at=NOW,
    ),
    PhotoDeleted(task_id="t", branch_id="b1", photo_sha256="0" * 64, keep_features=True, deleted_at=NOW),
    EquipmentFault(
        fault_id="f", equipment_id="e", branch_id="b1", kind="washer", cause="fault_code", detected_at=NOW
    ),
    FaultAcknowledged(
        fault_id="f", equipment_id="e", branch_id="b1", acknowledged_by="o", acknowledged_at=NOW
    ),
    PreferenceCreated(
        preference_id="p", branch_id="b1", title="t", text="t", tags={}, matches=[], created_at=NOW
    ),
    PreferenceWithdrawn(preference_id="p", branch_id="b1", withdrawn_at=NOW),
    PersonErased(erasure_id="e", person_id="p", tombstone="erased-1", requested_at=NOW),
    PersonForgotten(erasure_id="e", attempt=1, service="helper", rows={}, forgotten_at=NOW),
)
SAMPLES = {event.routing_key: event for event in EVENTS}


def receivers(key: str) -> list[str]:
    """The queues that get a copy of what is published with a key."""
    return [queue.name for queue in QUEUES if key in queue.keys]


STREAM = "model.promoted"
PROMOTED = ModelPromoted(
    model_version="m", manifest_key="models/m", sha256="0" * 64, promoted_by="o", promoted_at=NOW
)


def drawn(strategy: st.SearchStrategy[Any], number: int) -> list[Any]:
    """Draw examples for one test: servers are started once, not for each of them."""
    found: list[Any] = []

    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example: Any) -> None:
        found.append(example)

    collect()
    return found


@dataclass
class Laundry:
    """Consumers of every queue, what strangers and services publish, and what came of it."""

    messaging: Messaging
    publisher: Publisher
    arrived: dict[tuple[str, str], float] = field(default_factory=dict)
    took: Counter[str] = field(default_factory=Counter)
    buried: Counter[str] = field(default_factory=Counter)
    late_s: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """How long the good ones of each queue took."""
    refused: int = 0
    """What the broker refused of a stream's messages: the history may have its copy."""

    def judge(self, queue: str, id_: str, body: bytes) -> None:
        """Handle a message: take the good, and fail for any other, now and then for the time being only."""
        if id_.startswith("good-"):
            self.arrived[queue, id_] = time.monotonic()
        elif sum(body) % 5 == 0:
            raise RuntimeError(f"not now: {body[:200]!r}")
        else:
            raise PermanentError("a stranger's \ud800", reason="stranger")

    async def good(self) -> None:
        """Publish an event for each queue the way that the outbox is relayed, and a sample by MQTT."""
        sent, number = time.monotonic(), len(self.late_s[TELEMETRY])
        awaited: list[tuple[str, str]] = []
        for event in (*EVENTS, PROMOTED):
            id_ = f"good-{event.routing_key}-{number}"
            await self.publisher.publish(event, event_id=id_)
            queues = receivers(event.routing_key) + ([STREAM] if event is PROMOTED else [])
            awaited += [(queue, id_) for queue in queues]
        sample = f"good-{TELEMETRY}-{number}"
        assert await self.by_mqtt(Packet(b"", json.dumps({"good": sample}).encode()), device="good")
        for copy in (*awaited, (TELEMETRY, sample)):
            await eventually(partial(self.arrived.__contains__, copy), what=f"{copy} beside strangers")
            self.late_s[copy[0]].append(self.arrived[copy] - sent)

    async def by_mqtt(self, packet: Packet, *, device: str = "stranger") -> bool:
        vhost = self.messaging.vhost
        username = f"{vhost}:{self.messaging.broker.username}"
        url, password = self.messaging.broker.mqtt_url, self.messaging.broker.password
        async with raw_mqtt(url, f"{device}-{vhost}", username, password) as raw:
            return await raw.publish(f"telemetry/{device}", packet.payload, packet.properties)

    async def by_amqp(self, queue: str, message: Stranger) -> bool:
        planned = PLAN.queue(queue)
        async with raw_amqp(self.messaging.amqp_url) as raw:
            return await raw.publish(planned.exchange, planned.keys[0].replace("*", "stranger"), message)

    async def bury(self, queue: str, message: Stranger) -> bool:
        """Put a message among the dead letters as it is: as the broker does when nobody lived to copy it."""
        async with raw_amqp(self.messaging.amqp_url) as raw:
            return await raw.publish(DEAD_EXCHANGE, dead_queue(queue), message)

    async def at_rest(self) -> bool:
        """Whether nothing is ready, unacknowledged or waiting anywhere but in the dead letters."""
        login = (self.messaging.broker.username, self.messaging.broker.password)
        async with httpx.AsyncClient(auth=login, timeout=10) as client:
            address = f"{self.messaging.broker.management_url}/api/queues/{quote(self.messaging.vhost)}"
            answer = await client.get(f"{address}?disable_stats=true&enable_queue_totals=true")
        held = {each["name"]: each.get("messages", 0) for each in answer.raise_for_status().json()}
        return not any(
            held[name]
            for queue in QUEUES
            for name in (queue.name, *(name for name, _ in queue.retries))
        )  # fmt: skip

    async def letters(self, queue: str) -> list[DeadLetter]:
        found: list[DeadLetter] = []
        async with connected([self.messaging.amqp_url]) as broker:
            await look(broker, queue, Selection(), Bounds(), Tally(), handle=found.append)
        return found

    async def all_died(self) -> bool:
        counts = {queue.name: await self.messaging.count(str(queue.dead)) for queue in QUEUES}
        kept = counts[HISTORY_INTAKE] - self.dead(HISTORY_INTAKE)
        due = {queue.name: self.dead(queue.name) for queue in QUEUES}
        return 0 <= kept <= self.refused and counts == due | {HISTORY_INTAKE: counts[HISTORY_INTAKE]}

    def dead(self, queue: str) -> int:
        """How many letters there must be."""
        return self.took[queue] + self.buried[queue]


@pytest.fixture
def broker_plan() -> Plan:
    """Return the whole plan: every queue is tried."""
    return PLAN


@pytest_asyncio.fixture
async def laundry(messaging: Messaging, publisher: Publisher) -> AsyncIterator[Laundry]:
    laundry = Laundry(messaging, publisher)
    async with messaging.channel() as channel:
        telemetry = await channel.get_exchange(TELEMETRY_EXCHANGE)
        await telemetry.bind(await channel.get_exchange("amq.topic"), "telemetry.*")
    broker = make_broker(messaging.amqp_url, service="tests", graceful_timeout_s=2)
    consumer = EventConsumer(
        broker, publisher, PLAN, service="tests", service_version="1", drills=True, signer=MessageSigner(KEY)
    )
    for queue in (queue for key in SAMPLES for queue in PLAN.takers(key)):

        async def handle(event: Event, meta: EventMeta, name: str = queue.name) -> None:
            laundry.judge(name, meta.id, event.model_dump_json().encode())

        consumer.on(queue.name, type(SAMPLES[queue.keys[0]]), prefetch=5)(handle)

    @consumer.on_any(
        HISTORY_INTAKE, {type(each).event_type: type(each) for each in (*EVENTS, PROMOTED)}, prefetch=5
    )
    async def keep(event: Event, meta: EventMeta) -> None:
        laundry.judge(HISTORY_INTAKE, meta.id, event.model_dump_json().encode())

    @consumer.on_stream(STREAM, ModelPromoted)
    async def follow(event: ModelPromoted, meta: EventMeta) -> None:
        laundry.judge(STREAM, meta.id, b"")

    @consumer.on_raw(TELEMETRY, prefetch=5)
    async def take(body: bytes, meta: EventMeta) -> None:
        try:
            said = json.loads(body)
        except ValueError:
            said = None
        laundry.judge(TELEMETRY, str(said.get("good", "")) if isinstance(said, dict) else "", body)

    await broker.start()
    yield laundry
    await broker.stop()


@asynccontextmanager
async def meanwhile(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Do something again and again while the block runs; it must end well."""
    over = False

    async def repeat() -> None:
        while not over:
            await work()

    task = asyncio.create_task(repeat())
    try:
        yield
        over = True
        await task
    finally:
        task.cancel()


async def test_any_message_on_any_queue_dies_alone_and_can_be_handled(
    laundry: Laundry, tmp_path: Path
) -> None:
    sends: list[Callable[[], Awaitable[tuple[list[str], bool]]]] = []

    def amqp(queue: str, message: Stranger) -> None:
        async def send() -> tuple[list[str], bool]:
            key = PLAN.queue(queue).keys[0]
            return receivers(key) or [queue], await laundry.by_amqp(queue, message)

        sends.append(send)

    def mqtt(packet: Packet) -> None:
        async def send() -> tuple[list[str], bool]:
            return [TELEMETRY], await laundry.by_mqtt(packet)

        sends.append(send)

    for queue in QUEUES:
        sample = SAMPLES.get(queue.keys[0])
        outgoing = encode(sample, source="/x", event_id="stranger") if sample else None
        drawing = strangers(outgoing.headers if outgoing else {}, outgoing.body if outgoing else b"{}")
        if queue.name in (queue.keys[0], TELEMETRY):
            for message in drawn(drawing, EACH):
                amqp(queue.name, message)
        for message in drawn(drawing, BURIED):
            laundry.buried[queue.name] += await laundry.bury(queue.name, message)
    promoted = encode(PROMOTED, source="/x", event_id="stranger")
    for message in drawn(strangers(promoted.headers, promoted.body), EACH):
        amqp(STREAM, message)
    for packet in drawn(PACKETS, BY_MQTT):
        mqtt(packet)
    # In any case what was seen to do harm.
    for properties in (user_property(b"CC", b"x"), user_property(b"BCC", b"x"), b"\x09\x00\x02\xff\xfe",
                       user_property(b"\xff\xfe", b"v"), user_property(b"k", b"\xff\xfe")):  # fmt: skip
        mqtt(Packet(properties, b"{"))

    async with meanwhile(laundry.good):
        for send in sends:
            names, took = await send()
            laundry.took.update(names if took else [])
            laundry.refused += names == [HISTORY_INTAKE] and not took
        # As long as all retries take, so that good ones pass those that wait for one.
        await asyncio.sleep(sum(DEFAULT_RETRY_DELAYS_S))
    assert all(median(late_s) < PROMISED_S for late_s in laundry.late_s.values()), laundry.late_s
    assert laundry.took.total() > len(sends) / 3, "the broker takes most of it"
    assert laundry.took[TELEMETRY] >= 5
    await eventually(laundry.all_died, what=f"the death of each of {dict(laundry.took)}")
    await eventually(laundry.at_rest, what="nothing unacknowledged")
    kept = await laundry.messaging.count(dead_queue(HISTORY_INTAKE)) - laundry.dead(HISTORY_INTAKE)
    laundry.took[HISTORY_INTAKE] += kept
    laundry.refused = 0

    await handled_by_people(laundry, FileAudit(tmp_path / "audit.jsonl"))


async def handled_by_people(laundry: Laundry, audit: FileAudit) -> None:
    """List, export and send back every letter, and discard it when it died again."""
    for queue in QUEUES:
        name, number = queue.name, laundry.dead(queue.name)
        letters = await laundry.letters(name)
        assert len(letters) == number
        assert sum(letter.signed for letter in letters) >= laundry.took[name]
        assert sum(letter.reason == UNSAID for letter in letters) <= laundry.buried[name]
        for letter in letters:
            json.dumps(exported(letter), allow_nan=False).encode()
        # What was looked at is counted again once the broker has taken it back.
        await eventually(laundry.all_died, what="every letter in its place")
        async with connected([laundry.messaging.amqp_url]) as broker:
            summary = await summarise(broker, name, Bounds(), Tally())
        assert (summary.waiting, sum(summary.reasons.values())) == (number, number)
    await eventually(laundry.all_died, what="every letter in its place")
    async with connected([laundry.messaging.amqp_url]) as broker:
        for queue in QUEUES:
            tally, act = Tally(), OperatorAction("redrive", "tester", "again")
            await redrive(
                broker, queue.name, Selection(), Bounds(), tally, act=act, audit=audit, rate=1000
            )  # fmt: skip
            assert tally.done == laundry.dead(queue.name)
    await eventually(laundry.all_died, what="their second death")
    await eventually(laundry.at_rest, what="nothing unacknowledged after a redrive")
    for queue in QUEUES:
        letters = await laundry.letters(queue.name)
        assert all(letter.redriven for letter in letters)
        # What no consumer had signed is not taken back, and is not signed for it.
        forged = [letter for letter in letters if letter.reason == "redrive-not-signed"]
        assert (len(forged), any(letter.signed for letter in forged)) == (laundry.buried[queue.name], False)
    await eventually(laundry.all_died, what="every letter in its place")
    async with connected([laundry.messaging.amqp_url]) as broker:
        for queue in QUEUES:
            tally, act = Tally(), OperatorAction("discard", "tester", "seen")
            await remove(broker, queue.name, Selection(), Bounds(), tally, act=act, audit=audit)
            assert tally.done == laundry.dead(queue.name)
            assert await laundry.messaging.count(str(queue.dead)) == 0
