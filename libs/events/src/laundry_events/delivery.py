"""One message as the broker delivered it, until it is settled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aio_pika import IncomingMessage
from aio_pika.exceptions import ChannelInvalidStateError
from faststream.rabbit import RabbitMessage

from laundry_events.envelope import EventMeta, attempt_of, read_meta
from laundry_events.headers import DELIVERY_COUNT
from laundry_events.plan import Queue


@dataclass(frozen=True, eq=False, slots=True)
class Delivery:
    """A message in flight, and the queue that it came from."""

    message: RabbitMessage
    queue: Queue

    @property
    def raw(self) -> IncomingMessage:
        """The message as aio-pika has it."""
        return self.message.raw_message

    @property
    def headers(self) -> Mapping[str, Any]:
        """Headers of any name and type: strangers may have written them."""
        return self.raw.headers

    @property
    def body(self) -> bytes:
        """The body of the message, not decoded yet."""
        return self.raw.body

    @property
    def name(self) -> str:
        """What tells it from others in flight; equipment gives its messages no id."""
        return self.raw.message_id or str(self.raw.delivery_tag)

    @property
    def routing_key(self) -> str:
        """The key that it was published with, or its queue's name if it came back to it."""
        return self.raw.routing_key or self.queue.name

    @property
    def attempt(self) -> int:
        """Which attempt at handling it this is, 1 for the first."""
        return attempt_of(self.headers)

    @property
    def failed_deliveries(self) -> int:
        """How many consumers ended, or lost their connection, with it in flight."""
        return failed_deliveries(self.headers)

    @property
    def is_lost(self) -> bool:
        """Whether the channel that delivered it is closed, so that the broker has it back."""
        try:
            _ = self.raw.channel
        except ChannelInvalidStateError:
            return True
        return False

    @property
    def is_settled(self) -> bool:
        """Whether the broker was told what became of it."""
        return bool(self.raw.processed)

    @property
    def text_headers(self) -> dict[str, str]:
        """The headers that are text, among them the trace."""
        return {name: value for name, value in self.headers.items() if isinstance(value, str)}

    def envelope(self) -> EventMeta:
        """Read the CloudEvents attributes. Raises as ``envelope.read_meta``."""
        return read_meta(
            self.headers,
            queue=self.queue.name,
            routing_key=self.raw.routing_key or "",
            redelivered=bool(self.raw.redelivered),
        )

    def bare_envelope(self) -> EventMeta:
        """Make the envelope of a message that has none (MQTT)."""
        return EventMeta(
            id=self.raw.message_id or "",
            type="",
            source="",
            subject=None,
            time=None,
            version=0,
            queue=self.queue.name,
            routing_key=self.raw.routing_key or "",
            attempt=self.attempt,
            redelivered=bool(self.raw.redelivered),
            headers=self.headers,
        )


def failed_deliveries(headers: Mapping[str, Any]) -> int:
    """Read the broker's count of deliveries that ended without an answer."""
    count = headers.get(DELIVERY_COUNT, 0)
    return count if isinstance(count, int) else 0
