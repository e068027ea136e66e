"""The stream and the workers' common place in it."""

from typing import Any

import nats
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig

SUBJECT = "task.submitted"
STREAM = "TASKS"
READERS = "readers"
ACK_WAIT_S = 5
"""JetStream does not see a worker die: what it held is given to another after this long."""

BATCH = 8


async def connect(address: str) -> Any:
    """Connect, again and again if the server goes away."""
    return await nats.connect(
        address, max_reconnect_attempts=-1, reconnect_time_wait=0.2, connect_timeout=5, error_cb=_quiet
    )


async def _quiet(_: Exception) -> None:
    """Say nothing: the server is killed on purpose."""


async def ensure(context: Any) -> None:
    """Make the stream, on disk, if it is not there."""
    await context.add_stream(
        StreamConfig(
            name=STREAM, subjects=[SUBJECT], storage=StorageType.FILE, retention=RetentionPolicy.LIMITS
        )
    )


async def subscribe(context: Any) -> Any:
    """Take part in what the workers share."""
    config = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=ACK_WAIT_S, max_ack_pending=10_000)
    return await context.pull_subscribe(SUBJECT, durable=READERS, stream=STREAM, config=config)
