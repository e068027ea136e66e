"""Publishing and consuming through ``laundry_events``, on a quorum queue made for the run."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from statistics import mean
from typing import Any

import aio_pika
import aiormq
from pamqp.commands import Basic

from laundry_events import EventConsumer, EventMeta, Publisher, make_broker
from laundry_events.connection import connection_url
from laundry_events.envelope import CONTENT_TYPE, encode
from laundry_events.events import PreferenceCreated
from laundry_events.frames import PERSISTENT
from laundry_events.plan import EVENTS_EXCHANGE, Plan, Queue
from laundry_lab.bench.figures import Figure
from laundry_lab.bench.stage import Stage
from laundry_lab.report import percentile

EVENTS = 1000
IN_FLIGHT = 256
BLOCKS = 5
CONSUME_DEADLINE_S = 60.0
PUBLISH, CONSUME = "Publish, 1 KB, confirmed", "Consume, 1 KB, whole path"


Send = Callable[[], Awaitable[object]]


class Measured(PreferenceCreated):
    """An event of the usual size that no service subscribes to."""

    routing_key = "bench.measured"


class Copied(Measured):
    """The same, of which another quorum queue takes a copy, as the history does of every event."""

    routing_key = "bench.copied"


class Streamed(Measured):
    """The same, of which a stream takes a copy: what the history would cost if it were bound itself."""

    routing_key = "bench.streamed"


async def measure(stage: Stage) -> list[Figure]:
    """Measure the publisher one after another and pipelined, beside bare aiormq, then one consumer."""
    url = stage.document["amqp_urls"][0]
    nodes = len(stage.document["amqp_urls"])
    where = f"quorum queue on {nodes} node{'s' if nodes > 1 else ''}"
    publisher = Publisher(url, source="bench")
    event = measured_event()
    copied, streamed = (kind.model_validate(event.model_dump()) for kind in (Copied, Streamed))
    name = f"bench.{stage.run}"
    async with (
        measured_queue(url, name, nodes),
        copies(url, name, nodes, Copied, Streamed),
        bare_publisher(url, event) as bare,
    ):
        try:
            await publisher.wait_connected(10)

            async def publish() -> None:
                await publisher.publish(event)

            sends = (publish, bare, partial(publisher.publish, copied), partial(publisher.publish, streamed))
            alone, bare_alone, with_copy, with_stream = await _one_after_another(stage, sends)
            ours, bares = await _pipelined(stage, publish, bare)
            consumed = await _consume(stage, url, name, publisher)
        finally:
            await publisher.stop()
    size = len(event.model_dump_json())
    beside = [a / b for a, b in zip(ours.rates, bares.rates, strict=True)]
    return [
        Figure(
            PUBLISH,
            "one after another: mean",
            mean(alone) * 1000,
            "ms",
            2.2,
            note=f"{len(alone)} × {size} B, {where}",
        ),
        Figure(PUBLISH, "one after another: p50", percentile(alone, 0.5) * 1000, "ms"),
        Figure(PUBLISH, "one after another: p99", percentile(alone, 0.99) * 1000, "ms", 3),
        Figure(
            PUBLISH,
            "with the history's copy: mean",
            mean(with_copy) * 1000,
            "ms",
            2.2,
            note="what every event costs",
        ),
        Figure(PUBLISH, "with the history's copy: p99", percentile(with_copy, 0.99) * 1000, "ms", 3),
        Figure(PUBLISH, "with a stream bound in its place: mean", mean(with_stream) * 1000, "ms"),
        Figure(PUBLISH, "with a stream bound in its place: p99", percentile(with_stream, 0.99) * 1000, "ms"),
        Figure(
            PUBLISH, "bare aiormq: mean", mean(bare_alone) * 1000, "ms", note="the same body, no encoding"
        ),
        Figure(PUBLISH, f"{IN_FLIGHT} in flight", ours.rate, "/s"),
        Figure(PUBLISH, f"bare aiormq, {IN_FLIGHT} in flight", bares.rate, "/s"),
        Figure(
            PUBLISH,
            f"ours ÷ bare, the least of {BLOCKS} blocks by turns",
            min(beside),
            "×",
            0.9,
            at_most=False,
            note=f"{', '.join(f'{ratio:.2f}' for ratio in beside)}; {ours.rate / bares.rate:.2f} in all",
        ),
        Figure(PUBLISH, "processor time of one", ours.processor_us, "µs", note="of this process"),
        Figure(PUBLISH, "processor time of a bare one", bares.processor_us, "µs"),
        Figure(
            CONSUME, "one process", consumed, "/s", 2500, at_most=False, note="decode, handle, ack; no inbox"
        ),
    ]


def measured_event() -> Measured:
    """Return an event of about 1 KB."""
    return Measured(
        preference_id="01900000-0000-7000-8000-000000000001",
        branch_id="bench",
        title="A measured event",
        text="x" * 600,
        tags={f"tag-{number}": 0.5 for number in range(10)},
        matches=[],
        created_at=datetime.now(UTC),
    )


@asynccontextmanager
async def measured_queue(url: str, name: str, nodes: int) -> AsyncIterator[None]:
    """Make a quorum queue for what is measured, and remove it whatever happens."""
    connection = await aio_pika.connect(url, timeout=10)
    async with connection:
        channel = await connection.channel()
        arguments: Any = {"x-queue-type": "quorum", "x-quorum-initial-group-size": nodes}
        queue = await channel.declare_queue(name, durable=True, arguments=arguments, timeout=10)
        try:
            await queue.bind(EVENTS_EXCHANGE, Measured.routing_key, timeout=10)
            yield
        finally:
            await queue.delete(if_unused=False, if_empty=False, timeout=30)


@asynccontextmanager
async def bare_publisher(url: str, event: Measured) -> AsyncIterator[Send]:
    """Yield what publishes the same bytes with bare aiormq, confirmed."""
    outgoing = encode(event, source="/bench")
    connection = await aiormq.connect(connection_url(url, name="bench/bare"))
    try:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        properties = Basic.Properties(
            content_type=CONTENT_TYPE,
            delivery_mode=PERSISTENT,
            headers=dict(outgoing.headers),
            message_id=outgoing.id,
        )

        async def send() -> None:
            await channel.basic_publish(
                outgoing.body,
                exchange=EVENTS_EXCHANGE,
                routing_key=Measured.routing_key,
                properties=properties,
                mandatory=True,
                timeout=10,
            )

        yield send
    finally:
        await connection.close()


@asynccontextmanager
async def copies(url: str, name: str, nodes: int, *events: type[Measured]) -> AsyncIterator[None]:
    """Let ``name`` take more events, and a queue or a stream a copy of each."""
    connection = await aio_pika.connect(url, timeout=10)
    async with connection:
        channel = await connection.channel()
        queue: dict[str, Any] = {"x-queue-type": "quorum", "x-quorum-initial-group-size": nodes}
        stream: dict[str, Any] = {"x-queue-type": "stream", "x-initial-cluster-size": nodes}
        kinds = {each.routing_key: stream if each is Streamed else queue for each in events}
        main = await channel.get_queue(name, ensure=False)
        made = [
            await channel.declare_queue(f"{name}.{key}", durable=True, arguments=arguments, timeout=10)
            for key, arguments in kinds.items()
        ]
        try:
            for copy, key in zip(made, kinds, strict=True):
                await copy.bind(EVENTS_EXCHANGE, key, timeout=10)
                await main.bind(EVENTS_EXCHANGE, key, timeout=10)
            yield
        finally:
            for copy in made:
                await copy.delete(if_unused=False, if_empty=False, timeout=30)


async def _one_after_another(stage: Stage, sends: Sequence[Send]) -> list[list[float]]:
    number = stage.many(EVENTS, least=50)
    advance = stage.say("publishing one after another", number)
    taken: list[list[float]] = [[] for _ in sends]
    for send in sends:
        for _ in range(50):
            await send()
    for _ in range(number):
        for send, into in zip(sends, taken, strict=True):
            began = time.perf_counter()
            await send()
            into.append(time.perf_counter() - began)
        advance(1)
    return taken


@dataclass
class _Pipelined:
    """Events a second with many in flight, and the processor time that this process spends on each."""

    events: int = 0
    seconds: float = 0.0
    processor_s: float = 0.0
    rates: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.events / self.seconds

    @property
    def processor_us(self) -> float:
        return 1e6 * self.processor_s / self.events


async def _pipelined(stage: Stage, ours: Send, bare: Send) -> tuple[_Pipelined, _Pipelined]:
    number = stage.many(EVENTS, least=IN_FLIGHT)
    advance = stage.say(f"publishing, {IN_FLIGHT} in flight", 2 * BLOCKS)
    found = (_Pipelined(), _Pipelined())
    for block in range(BLOCKS):
        # Who goes second finds the processors and the broker's segments as the first left them.
        for send, into in list(zip((ours, bare), found, strict=True))[:: -1 if block % 2 else 1]:
            began, used = time.perf_counter(), time.process_time()
            await _all(send, number)
            took = time.perf_counter() - began
            into.events += number
            into.seconds += took
            into.rates.append(number / took)
            into.processor_s += time.process_time() - used
            advance(1)
    return found


async def _all(send: Send, number: int) -> None:
    left = iter(range(number))

    async def lane() -> None:
        for _ in left:
            await send()

    async with asyncio.TaskGroup() as lanes:
        for _ in range(IN_FLIGHT):
            lanes.create_task(lane())


async def _consume(stage: Stage, url: str, name: str, publisher: Publisher) -> float:
    """Consume what was published with the services' own consumer. Returns messages per second."""
    total = 4 * (50 + stage.many(EVENTS, least=50)) + 2 * BLOCKS * stage.many(EVENTS, least=IN_FLIGHT)
    advance = stage.say("consuming", total)
    plan = Plan(
        exchanges=(), queues=(Queue(name, (Measured.routing_key,), "bench", "measuring"),), services=()
    )
    broker = make_broker(url, service="bench", graceful_timeout_s=5)
    consumer = EventConsumer(broker, publisher, plan, service="bench", service_version="0")
    times: list[float] = []
    done = asyncio.Event()

    @consumer.on(name, PreferenceCreated, prefetch=200)
    async def take(_: PreferenceCreated, __: EventMeta) -> None:
        times.append(time.perf_counter())
        advance(1)
        if len(times) >= total:
            done.set()

    try:
        await broker.start()
        async with asyncio.timeout(stage.patience_s(CONSUME_DEADLINE_S)):
            await done.wait()
    finally:
        await broker.stop()
    return (len(times) - 1) / (times[-1] - times[0])
