"""An MQTT 5 client that can send arbitrary bytes where the standard requires text."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

CONNECT, CONNACK, PUBLISH_QOS_1, PUBACK = 0x10, 0x20, 0x32, 0x40
SUBSCRIBE, SUBACK = 0x82, 0x90
REFUSED = 0x80
TIMEOUT_S = 10.0


def text(content: bytes) -> bytes:
    """Return a string or binary data as MQTT writes it; at most 65,535 bytes."""
    return len(content).to_bytes(2) + content


def user_property(name: bytes, value: bytes) -> bytes:
    """Return a user property of a PUBLISH."""
    return b"\x26" + text(name) + text(value)


def correlation_data(content: bytes) -> bytes:
    """Return the correlation data of a PUBLISH."""
    return b"\x09" + text(content)


def content_type(content: bytes) -> bytes:
    """Return the content type of a PUBLISH."""
    return b"\x03" + text(content)


def response_topic(content: bytes) -> bytes:
    """Return the response topic of a PUBLISH."""
    return b"\x08" + text(content)


def expiry(seconds: int) -> bytes:
    """Return the message expiry of a PUBLISH."""
    return b"\x02" + seconds.to_bytes(4)


def payload_is_text(flag: bool) -> bytes:
    """Return the payload format indicator of a PUBLISH."""
    return b"\x01" + bytes([flag])


class RawMqtt:
    """One connection; publishing is one packet at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def connect(self, client_id: str, username: str, password: str) -> bool:
        """Log in, and say whether the broker let it."""
        login = text(client_id.encode()) + text(username.encode()) + text(password.encode())
        self._send(CONNECT, text(b"MQTT") + b"\x05\xc2" + (60).to_bytes(2) + b"\0" + login)
        kind, answer = await self._receive()
        return kind == CONNACK and answer[1] == 0

    async def publish(self, topic: str, payload: bytes, properties: bytes = b"") -> bool:
        """Publish at QoS 1, and say whether the broker took it; what it refuses may end the connection."""
        head = text(topic.encode()) + b"\0\x01" + _variable(len(properties)) + properties
        try:
            self._send(PUBLISH_QOS_1, head + payload)
            kind, answer = await self._receive()
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        return kind == PUBACK and (len(answer) <= 2 or answer[2] < REFUSED)

    async def subscribe(self, topic: str) -> bool:
        """Subscribe at QoS 1; returns whether the broker allows it. A refusal may end the connection."""
        try:
            self._send(SUBSCRIBE, b"\0\1" + b"\0" + text(topic.encode()) + b"\1")
            kind, answer = await self._receive()
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        return kind == SUBACK and answer[-1] < REFUSED

    def _send(self, kind: int, content: bytes) -> None:
        self._writer.write(bytes([kind]) + _variable(len(content)) + content)

    async def _receive(self) -> tuple[int, bytes]:
        async with asyncio.timeout(TIMEOUT_S):
            kind = (await self._reader.readexactly(1))[0]
            size = shift = 0
            while True:
                digit = (await self._reader.readexactly(1))[0]
                size |= (digit & 0x7F) << shift
                shift += 7
                if digit < REFUSED:
                    return kind, await self._reader.readexactly(size)


def _variable(number: int) -> bytes:
    found = bytearray()
    while True:
        number, digit = divmod(number, 128)
        found.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(found)


@asynccontextmanager
async def raw_mqtt(
    url: str, client_id: str, username: str, password: str, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawMqtt]:
    """Open a connection and log in; ``tls`` encrypts it.

    Raises:
        ConnectionError: the broker does not let this login in.
    """
    address = urlsplit(url)
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection(
            address.hostname or "127.0.0.1", address.port or 1883, ssl=tls
        )
    try:
        client = RawMqtt(reader, writer)
        if not await client.connect(client_id, username, password):
            raise ConnectionError(f"{username} may not log in")
        yield client
    finally:
        writer.close()
