"""Encodes what is published into AMQP frames, quickly where it is one of our events.

pamqp looks up how each field is encoded and checks each value; that is a third of what publishing costs. The
headers of an event are texts, and what else it carries is the same five properties each time. Everything else
is left to pamqp, and ``test_frames.py`` reads both ways back.
"""

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pamqp.frame
from pamqp import encode
from pamqp.commands import Basic

PERSISTENT = 2
HEADER, BODY, END = 2, 3, b"\xce"
AROUND = 8
"""Bytes of a frame besides what it carries."""

_FLAGS = Basic.Properties.flags
_START = struct.Struct(">BHI").pack
_CONTENT = struct.Struct(">HHQ").pack
_LONG = struct.Struct(">I").pack
_SHORT = struct.Struct(">H").pack


def event_properties(
    headers: Mapping[str, Any], *, message_id: str, content_type: str | None, app_id: str
) -> bytes:
    """Encode the AMQP properties of what is persistent and has these headers.

    Raises:
        ValueError, TypeError, struct.error: they cannot be encoded.
    """
    flags = _FLAGS["headers"] | _FLAGS["delivery_mode"] | _FLAGS["message_id"] | _FLAGS["app_id"]
    parts = [_table(headers), bytes((PERSISTENT,)), _short_text(message_id), _known_text(app_id)]
    if content_type:
        flags |= _FLAGS["content_type"]
        parts.insert(0, _known_text(content_type))
    return b"".join((_SHORT(flags), *parts))


def publish_frames(
    channel: int, exchange: str, routing_key: str, properties: bytes, body: bytes, *, most_bytes: int
) -> bytes:
    """Return the frames that publish a body, mandatory, with encoded properties.

    Args:
        channel: number of the channel that they are sent on.
        most_bytes: of a body in one frame.

    Raises:
        ValueError: the exchange or key has no valid name.
    """
    content = _CONTENT(Basic.frame_id, 0, len(body)) + properties
    parts = [_method(channel, exchange, routing_key), _START(HEADER, channel, len(content)), content, END]
    for first in range(0, len(body), most_bytes):
        piece = body[first : first + most_bytes]
        parts += (_START(BODY, channel, len(piece)), piece, END)
    return b"".join(parts)


@lru_cache(maxsize=256)
def _method(channel: int, exchange: str, routing_key: str) -> bytes:
    publish = Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True)
    return pamqp.frame.marshal(publish, channel)


def _table(headers: Mapping[str, Any]) -> bytes:
    parts: list[bytes] = []
    for name, value in headers.items():
        if type(value) is not str:
            return encode.field_table(dict(headers))
        text = value.encode()
        parts += (_known_text(name), b"S", _LONG(len(text)), text)
    table = b"".join(parts)
    return _LONG(len(table)) + table


def _short_text(text: str) -> bytes:
    raw = text.encode()
    # Fails where the text is longer than an AMQP property may be.
    return bytes((len(raw),)) + raw


_known_text = lru_cache(maxsize=256)(_short_text)
