"""Messages: samples that equipment published by MQTT."""

from collections.abc import Awaitable, Callable

from laundry_events import EventConsumer, EventMeta, PermanentError
from monitoring.monitor import Monitor
from monitoring.telemetry import BadTelemetry, Sample, parse

QUEUE = "telemetry.reported"
ORIGINAL_KEY = "x-original-routing-key"
LoginBranches = Callable[[str], Awaitable[frozenset[str] | None]]


def equipment_of(meta: EventMeta) -> str:
    """Return whom the broker let publish this: the last word of the routing key.

    A message that comes back from a retry queue or a redrive has the queue's name as its routing key; only
    then does the header count, which a device could otherwise set itself.

    Raises:
        PermanentError: the routing key is no equipment's.
    """
    key = meta.routing_key
    if key == QUEUE:
        key = str(meta.headers.get(ORIGINAL_KEY, ""))
    prefix, _, equipment_id = key.partition(".")
    if prefix != "telemetry" or not equipment_id or key == QUEUE:
        raise PermanentError(
            f"the topic {key.replace('.', '/')!r} is not telemetry/<equipment id>", reason="topic-unknown"
        )
    return equipment_id


def check_sender(samples: list[Sample], equipment_id: str, branches: frozenset[str] | None) -> None:
    """Refuse samples of other equipment than the topic's, or of a branch that its token does not name.

    Args:
        branches: none if the equipment never logged in with a token: then a user of the broker's own sent
            it (a gateway), whom the broker's permissions already let.

    Raises:
        PermanentError: with the reason.
    """
    for index, sample in enumerate(samples):
        if sample.equipment_id != equipment_id:
            raise PermanentError(
                f"samples.{index}: the topic is {equipment_id!r}'s, the sample {sample.equipment_id!r}'s",
                reason="equipment-forbidden",
            )
        if branches is not None and sample.branch_id not in branches:
            raise PermanentError(
                f"samples.{index}: the device's token does not name the branch {sample.branch_id!r}",
                reason="branch-forbidden",
            )


def subscribe(
    consumer: EventConsumer, monitor: Monitor, login_branches: LoginBranches, *, prefetch: int
) -> None:
    """Take samples from the queue. A sample delivered twice is a duplicate like any other."""

    @consumer.on_raw(QUEUE, prefetch=prefetch)
    async def take_samples(body: bytes, meta: EventMeta) -> None:
        equipment_id = equipment_of(meta)
        try:
            samples = parse(body)
            check_sender(samples, equipment_id, await login_branches(equipment_id))
            await monitor.take(samples, via="mqtt")
        except BadTelemetry as error:
            raise PermanentError(error.detail, reason=error.code) from error
