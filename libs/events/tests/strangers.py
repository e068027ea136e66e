"""Publishes what no client library would: frames of AMQP 0-9-1 and packets of MQTT 5 with any bytes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import pamqp.frame
from hypothesis import strategies as st
from pamqp import commands
from pamqp.body import ContentBody

from laundry_servers import raw_mqtt

TIMEOUT_S = 10.0
FLAGS = commands.Basic.Properties.flags


def short(payload: bytes) -> bytes:
    return bytes([len(payload)]) + payload


def long(payload: bytes) -> bytes:
    return len(payload).to_bytes(4) + payload


# --- AMQP 0-9-1


@dataclass(frozen=True)
class Stranger:
    """A message as it goes over the wire: the flags and bytes of its properties, and its body."""

    flags: int
    properties: bytes
    body: bytes


def _of(kind: bytes, size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size).map(kind.__add__)


SCALARS = st.one_of(
    st.just(b"V"),
    st.binary(max_size=60).map(lambda value: b"S" + long(value)),
    st.binary(max_size=60).map(lambda value: b"x" + long(value)),
    st.booleans().map(lambda value: b"t" + bytes([value])),
    *(_of(kind, size) for kind, size in ((b"b", 1), (b"s", 2), (b"I", 4), (b"l", 8), (b"f", 4), (b"d", 8))),
    *(_of(kind, size) for kind, size in ((b"T", 8), (b"D", 5), (b"B", 1), (b"u", 2), (b"i", 4))),
)
NAMES = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.sampled_from(
        [b"x-attempt", b"x-put-off", b"x-delivery-count", b"x-death", b"x-dead-reason", b"x-redriven",
         b"x-original-routing-key", b"x-last-failed-at", b"x-letter-signature", b"x-foreign-headers",
         b"traceparent", b"tracestate", b"baggage", b"cloudEvents_id", b"cloudEvents_time", b"x-undecoded"]
    ),
)  # fmt: skip


def _table(items: list[tuple[bytes, bytes]]) -> bytes:
    return long(b"".join(short(name) + value for name, value in items))


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: b"A" + long(b"".join(items))),
        st.lists(st.tuples(NAMES, inner), max_size=3).map(lambda items: b"F" + _table(items)),
    ),
    max_leaves=6,
)
DEEP = st.integers(20, 3_000).map(lambda depth: (b"deep", _nested(depth)))


def _nested(depth: int) -> bytes:
    value = b"V"
    for _ in range(depth):
        value = b"F" + long(short(b"n") + value)
    return value


TEXT = st.one_of(st.binary(max_size=255), st.text(max_size=60).map(str.encode))
PROPERTIES = {
    "content_type": TEXT.map(short),
    "content_encoding": TEXT.map(short),
    "delivery_mode": st.binary(min_size=1, max_size=1),
    "priority": st.binary(min_size=1, max_size=1),
    "correlation_id": TEXT.map(short),
    "reply_to": TEXT.map(short),
    # One that is due while it waits would be the broker's to bury; any other is refused by the broker.
    "expiration": st.sampled_from([b"600000", b"", b"soon"]).map(short),
    "message_id": TEXT.map(short),
    "timestamp": st.binary(min_size=8, max_size=8),
    "message_type": TEXT.map(short),
    "app_id": TEXT.map(short),
}
BODIES = st.one_of(
    st.binary(max_size=300), st.just(b"{"), st.just(b'{"a": "\\ud800"}'), st.just(b"x" * 70_000)
)


@st.composite
def strangers(draw: st.DrawFn, enveloped: dict[str, str], body: bytes) -> Stranger:
    """Draw a message of any properties; some with the envelope and body of a true event besides."""
    true_envelope = draw(st.booleans())
    items = [
        (name.encode(), b"S" + long(value.encode())) for name, value in enveloped.items()
    ] * true_envelope
    items += draw(st.lists(st.tuples(NAMES, VALUES) | DEEP, max_size=4))
    values = {"headers": _table(items)}
    for name in draw(st.lists(st.sampled_from(sorted(PROPERTIES)), unique=True, max_size=5)):
        values[name] = draw(PROPERTIES[name])
    flags, payload = 0, b""
    for name in commands.Basic.Properties.__slots__:
        if name in values:
            flags |= FLAGS[name]
            payload += values[name]
    return Stranger(flags, payload, draw(st.just(body) | BODIES) if true_envelope else draw(BODIES))


class RawAmqp:
    """A connection with one confirming channel, over which any bytes may be published."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def publish(self, exchange: str, key: str, message: Stranger) -> bool:
        """Publish, and say whether the broker took it; one that it refuses ends this connection."""
        head = (60).to_bytes(2) + bytes(2) + len(message.body).to_bytes(8) + message.flags.to_bytes(2)
        self._send(commands.Basic.Publish(exchange=exchange, routing_key=key), channel=1)
        self._writer.write(pamqp.frame._marshal(2, 1, head + message.properties))
        if message.body:
            self._writer.write(pamqp.frame.marshal(ContentBody(message.body), 1))
        return isinstance(await self._receive(), commands.Basic.Ack)

    def _send(self, frame: pamqp.frame.FrameTypes, *, channel: int = 0) -> None:
        self._writer.write(pamqp.frame.marshal(frame, channel))

    async def _receive(self) -> object:
        async with asyncio.timeout(TIMEOUT_S):
            head = await self._reader.readexactly(7)
            rest = await self._reader.readexactly(int.from_bytes(head[3:7]) + 1)
        return pamqp.frame.unmarshal(head + rest)[2]

    async def call(self, frame: pamqp.frame.FrameTypes, *, channel: int = 0) -> object:
        """Send a method and return the answer."""
        self._send(frame, channel=channel)
        return await self._receive()


@contextlib.asynccontextmanager
async def raw_amqp(url: str) -> AsyncIterator[RawAmqp]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        raw = RawAmqp(reader, writer)
        writer.write(b"AMQP\0\0\x09\x01")
        await raw._receive()
        login = f"\0{unquote(parts.username or '')}\0{unquote(parts.password or '')}"
        await raw.call(commands.Connection.StartOk(mechanism="PLAIN", response=login, client_properties={}))
        raw._send(commands.Connection.TuneOk(channel_max=10, frame_max=131_072, heartbeat=0))
        await raw.call(commands.Connection.Open(virtual_host=unquote(parts.path[1:])))
        await raw.call(commands.Channel.Open(), channel=1)
        await raw.call(commands.Confirm.Select(), channel=1)
        yield raw
    finally:
        writer.close()


# --- MQTT 5


@dataclass(frozen=True)
class Packet:
    """The properties and payload of a PUBLISH."""

    properties: bytes
    payload: bytes


MQTT_NAMES = st.one_of(
    st.binary(max_size=300),
    st.sampled_from([b"CC", b"BCC", b"x-attempt", b"x-death", b"x-original-routing-key", b"cloudEvents_id"]),
)
USER_PROPERTIES = st.tuples(MQTT_NAMES, st.binary(max_size=300)).map(
    lambda both: raw_mqtt.user_property(*both)
)
PACKETS = st.builds(
    Packet,
    st.lists(
        st.one_of(
            USER_PROPERTIES,
            USER_PROPERTIES.map(lambda one: one * 60),
            st.binary(max_size=300).map(raw_mqtt.correlation_data),
        ),
        max_size=4,
    ).map(b"".join)
    | st.tuples(
        st.binary(max_size=300).map(raw_mqtt.content_type) | st.just(b""),
        st.booleans().map(raw_mqtt.payload_is_text) | st.just(b""),
        st.integers(600, 2**32 - 1).map(raw_mqtt.expiry) | st.just(b""),
        st.binary(max_size=60).map(raw_mqtt.response_topic) | st.just(b""),
    ).map(b"".join),
    BODIES.filter(lambda body: len(body) < 60_000),
)
