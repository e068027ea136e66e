"""Messages: samples that equipment published by MQTT."""

from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime

import structlog
from prometheus_client import Counter

from laundry_events import EventConsumer, EventMeta, PermanentError
from laundry_events.headers import ARRIVED_AT, ORIGINAL_KEY, TAKEN_MS
from laundry_events.moments import read_moment
from monitoring.device_limits import Traffic
from monitoring.service.device_logins import Login
from monitoring.service.telemetry_intake import Monitor
from monitoring.telemetry import BadTelemetry, Looked, Parsed, Trouble, parse

QUEUE = "telemetry.reported"
CLIENT_ID = "x-opt-mqtt-client-id"

ReadLogins = Callable[[str, str | None], Awaitable[Collection[Login] | None]]
Allows = Callable[[Login], bool]

REFUSED = Counter("laundry_telemetry_refused_messages", "MQTT messages that were not taken whole", ["reason"])
DROPPED = Counter(
    "laundry_telemetry_dropped_messages", "MQTT messages that were counted and dropped", ["reason"]
)

log = structlog.get_logger(__name__)


class EquipmentBusy(Exception):
    """Somebody holds the machine's row; the message is tried again."""


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


def arrived_at(meta: EventMeta, now: datetime) -> datetime:
    """When the broker first took the message, if it says so. A device cannot: what it adds is text, and the
    word of a copy counts only on one that came back to its queue.
    """
    try:
        if meta.routing_key == QUEUE:
            return min(now, read_moment(meta.headers.get(ARRIVED_AT)))
        said = meta.headers.get(TAKEN_MS)
        if isinstance(said, int) and not isinstance(said, bool):
            return min(now, datetime.fromtimestamp(said / 1000, UTC))
    except (ValueError, OverflowError, OSError):
        pass
    return now


def client_of(meta: EventMeta) -> str | None:
    """Which MQTT client sent it, if the broker says so."""
    said = meta.headers.get(CLIENT_ID)
    return said if isinstance(said, str) else None


def sort_out(parsed: Parsed, equipment_id: str, branches: frozenset[str] | None) -> None:
    """Refuse samples of other equipment than the topic's, and of branches that its token does not name.

    Args:
        branches: none if the equipment never logged in with a token: then a user of the broker's own sent
            it (a gateway), whom the broker's permissions already let.
    """
    allowed: list[Looked] = []
    for look in parsed.looks:
        sample = look.sample
        if sample.equipment_id != equipment_id:
            why = f"the topic is {equipment_id!r}'s, the sample {sample.equipment_id!r}'s"
            parsed.refused.append(Trouble(look.index, "equipment-forbidden", f"samples.{look.index}: {why}"))
        elif branches is not None and sample.branch_id not in branches:
            why = f"the device's token does not name the branch {sample.branch_id!r}"
            parsed.refused.append(Trouble(look.index, "branch-forbidden", f"samples.{look.index}: {why}"))
        else:
            allowed.append(look)
    parsed.looks = allowed


def branches_of(
    logins: Collection[Login] | None, allows: Allows, *, arrived: datetime
) -> frozenset[str] | None:
    """Return the branches that a message's sender may speak for; none means all.

    Raises:
        PermanentError: its token had expired when the message came, or is denied.
    """
    if logins is None:
        return None
    alive = [login for login in logins if arrived <= login.expires_at]
    if not alive:
        raise PermanentError(
            "the token that the device logged in with has expired; log in with a new one",
            reason="token-expired",
        )
    allowed = [login for login in alive if allows(login)]
    if not allowed:
        raise PermanentError("the device's token is denied", reason="token-denied")
    return frozenset().union(*(login.branches for login in allowed))


def subscribe(
    consumer: EventConsumer,
    monitor: Monitor,
    read_logins: ReadLogins,
    allows: Allows,
    traffic: Traffic,
    *,
    prefetch: int,
) -> None:
    """Take samples from the queue. A sample delivered twice is a duplicate like any other.

    What is good of a message is taken. If anything of it is refused, the message becomes a dead letter whole.
    """

    async def take(equipment_id: str, body: bytes, meta: EventMeta) -> None:
        now = monitor.now()
        try:
            parsed = parse(body, monitor.known_metrics, now=now)
        except BadTelemetry as error:
            traffic.spend(equipment_id, 1)
            raise PermanentError(error.detail, reason=error.code) from error
        over = traffic.wait(equipment_id) > 0
        traffic.spend(equipment_id, len(parsed.looks) + len(parsed.refused))
        if over:
            parsed = traffic.essence(equipment_id, parsed)
            DROPPED.labels("rate").inc()
            if not parsed.looks:
                return
        logins = await read_logins(equipment_id, client_of(meta))
        branches = branches_of(logins, allows, arrived=arrived_at(meta, now))
        sort_out(parsed, equipment_id, branches)
        taken = await monitor.take(parsed, via="mqtt", speaks_for=branches)
        if taken.problems and traffic.says(equipment_id):
            first = taken.problems[0]
            log.info("samples were taken with a word", equipment_id=equipment_id, code=first.code)
        if any(trouble.code == "busy" for trouble in taken.refused):
            raise EquipmentBusy(f"the row of {equipment_id} is held")
        if taken.refused:
            raise PermanentError(taken.refused[0].detail, reason=taken.refused[0].code)

    @consumer.on_raw(QUEUE, prefetch=prefetch)
    async def take_samples(body: bytes, meta: EventMeta) -> None:
        equipment_id = equipment_of(meta)
        try:
            await take(equipment_id, body, meta)
        except PermanentError as error:
            REFUSED.labels(error.reason).inc()
            if traffic.may_bury(equipment_id):
                raise
            # One device must not fill the dead letters: what they hold of it shows what it sends.
            DROPPED.labels("dead-letters").inc()
