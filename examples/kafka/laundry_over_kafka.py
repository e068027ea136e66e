"""The laundry's events over Kafka's protocol, with FastStream's Kafka broker and the same typed events.

    python laundry_over_kafka.py read --broker 127.0.0.1:9092
    python laundry_over_kafka.py send --broker 127.0.0.1:9092 task-1 unreadable-2 task-3

``read`` prints a line for each thing that it does. A task whose id begins with ``unreadable`` fails always.
"""

import argparse
import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.middlewares import AckPolicy

from laundry_events.envelope import decode, encode, read_meta
from laundry_events.event import Event
from laundry_events.events import Photo, TaskSubmitted

# CloudEvents names its attributes so in AMQP, and so in Kafka.
AMQP, KAFKA = "cloudEvents_", "ce_"
GROUP = "ai-consumer"
ATTEMPTS = 4
PAUSES_S = (0.1, 0.2, 0.4)
"""Between attempts. Ours are 1, 2 and 4 s and nothing waits for them; here all that follows does."""


async def publish(broker: KafkaBroker, event: Event, *, topic: str | None = None) -> None:
    """Publish an event: its topic is the routing key, and all events of one task keep their order."""
    outgoing = encode(event, source="/helper")
    headers = {name.replace(AMQP, KAFKA, 1): str(value) for name, value in outgoing.headers.items()}
    await broker.publish(
        outgoing.body,
        topic or outgoing.routing_key,
        key=event.subject.encode(),
        headers={**headers, "content-type": "application/json"},
    )


def received(message: KafkaMessage, expected: type[TaskSubmitted]) -> TaskSubmitted:
    """Check and parse a record as the event that this reader expects. Raises as ``decode``."""
    headers = {name.replace(KAFKA, AMQP, 1): value for name, value in message.headers.items()}
    meta = read_meta(headers, queue=expected.routing_key, routing_key=expected.routing_key, redelivered=False)
    return decode(message.body, meta, expected)


def say(what: str, task: str, **more: Any) -> None:
    """Tell what was done."""
    sys.stdout.write(json.dumps({"said": what, "task": task, "at": time.monotonic(), **more}) + "\n")
    sys.stdout.flush()


def handle(task: TaskSubmitted) -> None:
    """Stand in for reading a photo."""
    if task.task_id.startswith("unreadable"):
        raise ValueError("this photo cannot be read")


def make_reader(address: str) -> KafkaBroker:
    """Make the broker of a reader, which has to do by itself what queues do.

    The position in the log is all that Kafka keeps. What fails can be skipped, which loses it (FastStream's
    REJECT_ON_ERROR is the same as ACK), or tried again with all that follows waiting behind it. Then it is
    copied to a topic that means something to us alone.
    """
    broker = KafkaBroker(address, logger=None, apply_types=False)

    # By default the position is committed before the handler runs: at most once.
    @broker.subscriber(
        TaskSubmitted.routing_key,
        group_id=GROUP,
        ack_policy=AckPolicy.NACK_ON_ERROR,
        auto_offset_reset="earliest",
        no_reply=True,
        decoder=_undecoded,
    )
    async def read(message: KafkaMessage) -> None:
        task = received(message, TaskSubmitted)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                handle(task)
            except ValueError as error:
                say("failed", task.task_id, attempt=attempt)
                if attempt == ATTEMPTS:
                    # Not in one step with the commit: a reader that ends in between makes two of it.
                    await publish(broker, task, topic=f"{TaskSubmitted.routing_key}.dlq")
                    say("dead", task.task_id, why=str(error))
                else:
                    await asyncio.sleep(PAUSES_S[attempt - 1])
            else:
                say("read", task.task_id, attempt=attempt)
                return

    @broker.subscriber(
        f"{TaskSubmitted.routing_key}.dlq",
        group_id="operator",
        auto_offset_reset="earliest",
        decoder=_undecoded,
    )
    async def dead(message: KafkaMessage) -> None:
        say("dead letter", received(message, TaskSubmitted).task_id)

    return broker


async def _undecoded(message: Any) -> Any:
    """Return the raw message: headers and body are checked together."""
    return message


async def make_topics(address: str) -> None:
    """Make the topics that are read, where they are missing: one partition, so one order for all."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        there = await admin.list_topics()
        wanted = (TaskSubmitted.routing_key, f"{TaskSubmitted.routing_key}.dlq")
        missing = [NewTopic(name, 1, 1) for name in wanted if name not in there]
        if missing:
            await admin.create_topics(missing)
    finally:
        await admin.close()


async def send(address: str, tasks: list[str]) -> None:
    """Publish a photo's event for each task."""
    await make_topics(address)
    async with KafkaBroker(address, logger=None, acks="all") as broker:
        for task in tasks:
            photo = Photo(key=f"{task}.jpg", sha256="0" * 64, bytes=1, media_type="image/jpeg")
            event = TaskSubmitted(
                task_id=task,
                task_version=1,
                branch_id="gangnam",
                helper_id="helper-1",
                photo=photo,
                submitted_at=datetime.now(UTC),
            )
            await publish(broker, event)


async def read(address: str) -> None:
    """Read until standard input ends."""
    await make_topics(address)
    async with make_reader(address) as broker:
        await broker.start()
        say("ready", "")
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["send", "read"])
    parser.add_argument("tasks", nargs="*", default=["task-1", "unreadable-2", "task-3"])
    parser.add_argument("--broker", default="127.0.0.1:9092")
    given = parser.parse_intermixed_args()
    asyncio.run(send(given.broker, given.tasks) if given.what == "send" else read(given.broker))


if __name__ == "__main__":
    main()
