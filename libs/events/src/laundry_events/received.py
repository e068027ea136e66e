"""What a delivered message says of itself, before anything is decoded."""

import os
import signal

import structlog
from aio_pika import IncomingMessage

from laundry_events.envelope import MAX_MESSAGE_BYTES, EventMeta, attempt_of, read_meta
from laundry_events.errors import DrillError, MalformedMessage

CRASH = "crash"

log = structlog.get_logger(__name__)


def check_size(body: bytes) -> None:
    """Refuse what is larger than any event may be. Raises ``MalformedMessage``."""
    if len(body) > MAX_MESSAGE_BYTES:
        raise MalformedMessage(f"the body has {len(body)} bytes; at most {MAX_MESSAGE_BYTES} are taken")


def drill(kind: object) -> None:
    """Fail as a message with ``x-drill`` asks: ``crash`` ends the process, all else raises ``DrillError``."""
    if kind == CRASH:
        log.error("this message was sent to end its process")
        os.kill(os.getpid(), signal.SIGKILL)
    raise DrillError("this message was sent to fail")


def text_headers(raw: IncomingMessage) -> dict[str, str]:
    """Return the headers that are text, among them the trace."""
    return {k: v for k, v in raw.headers.items() if isinstance(v, str)}


def meta_of(raw: IncomingMessage, queue: str) -> EventMeta:
    """Read the envelope of an event. Raises as ``envelope.read_meta``."""
    return read_meta(
        raw.headers, queue=queue, routing_key=raw.routing_key or "", redelivered=bool(raw.redelivered)
    )


def raw_meta(raw: IncomingMessage, queue: str) -> EventMeta:
    """Make the envelope of a message that has none (MQTT)."""
    return EventMeta(
        id=raw.message_id or "",
        type="",
        source="",
        subject=None,
        time=None,
        version=0,
        queue=queue,
        routing_key=raw.routing_key or "",
        attempt=attempt_of(raw.headers),
        redelivered=bool(raw.redelivered),
        headers=raw.headers,
    )
