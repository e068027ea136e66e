"""Messages in: samples that equipment published by MQTT."""

from datetime import UTC, datetime

from laundry_events import EventConsumer, EventMeta, PermanentError
from laundry_events.headers import ARRIVED_AT, ORIGINAL_KEY, TAKEN_MS
from laundry_events.moments import read_moment
from laundry_service.personal_data.erasing import Erasures, subscribe_erasures
from monitoring.service.clock import utc_now
from monitoring.service.mqtt_intake import DeviceMessage, MqttIntake

QUEUE = "telemetry.reported"
CLIENT_ID = "x-opt-mqtt-client-id"


def equipment_of(meta: EventMeta) -> str:
    """Return the equipment that the broker let publish this: the last word of the routing key.

    A message that comes back from a retry queue or a redrive has the queue's name as its routing key; only
    then does the header count, which a device could otherwise set itself.

    Raises:
        PermanentError: the routing key does not name equipment.
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


def arrived_at(meta: EventMeta, now: datetime) -> datetime:
    """Return when the broker first took the message, or ``now`` if it does not say.

    A device cannot say it: what it adds is text, and the header of a copy counts only on a message that came
    back to its queue.
    """
    try:
        if meta.routing_key == QUEUE:
            return min(now, read_moment(meta.headers.get(ARRIVED_AT)))
        taken_ms = meta.headers.get(TAKEN_MS)
        if isinstance(taken_ms, int) and not isinstance(taken_ms, bool):
            return min(now, datetime.fromtimestamp(taken_ms / 1000, UTC))
    except (ValueError, OverflowError, OSError):
        pass
    return now


def client_of(meta: EventMeta) -> str | None:
    """Return which MQTT client sent it, if the broker says so."""
    client_id = meta.headers.get(CLIENT_ID)
    return client_id if isinstance(client_id, str) else None


def subscribe(consumer: EventConsumer, intake: MqttIntake, erasures: Erasures, *, prefetch: int) -> None:
    """Subscribe to ``telemetry.reported``, where MQTT messages arrive, and to people to forget."""
    subscribe_erasures(consumer, erasures, "monitoring")

    @consumer.on_raw(QUEUE, prefetch=prefetch)
    async def take_samples(body: bytes, meta: EventMeta) -> None:
        message = DeviceMessage(equipment_of(meta), client_of(meta), arrived_at(meta, utc_now()), body)
        await intake.take(message)
