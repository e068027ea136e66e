"""Decodes AMQP frames that pamqp refuses, so that no message can end the connection which delivers it.

A header name that is not UTF-8, a time after the year 9999 and endlessly nested tables are all legal at the
broker, and MQTT equipment may send the first. pamqp raises for them, aiormq then drops the connection, and
everything in flight counts one more death for what one message did. There is no setting for it, but pamqp
looks its decoders up in two tables and reads properties through one method: these are replaced, once, when
this module is imported. Whoever opens a connection imports it (``connection`` does).

What had to be changed to be read is said in the header ``x-undecoded``: the properties as they came, base64.
"""

import base64
import threading
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final

import aiormq.connection
import pamqp.frame
from pamqp import commands, decode, header

from laundry_events.headers import UNDECODED
from laundry_events.libraries import UnsupportedLibrary

DEEPEST = 8
"""Tables and lists within each other; what lies deeper stays bytes. Python's own stack ends near 1,000."""

CHANGED = (
    f"(with aiormq {version('aiormq')}) decodes frames in another way than laundry_events.wire knows: "
    "a message with an odd header would end its connection"
)

FIXED: Final = {
    b"t": 1, b"b": 1, b"B": 1, b"s": 2, b"u": 2, b"I": 4, b"i": 4, b"l": 8, b"L": 8,
    b"f": 4, b"d": 8, b"D": 5, b"T": 8, b"V": 0, b"\0": 0,
}  # fmt: skip
SIZED: Final = b"SAFx"
Table = dict[str, Any]


class _Reading(threading.local):
    """What the decoders found in the current frame."""

    depth = 0
    changed = False


_reading = _Reading()
_read_properties = header.ContentHeader.unmarshal
_read_timestamp = decode.timestamp


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        _reading.changed = True
        return raw.decode(errors="backslashreplace")


@lru_cache(maxsize=256)
def _known_name(raw: bytes) -> str:
    return raw.decode()


def _name(raw: bytes) -> str:
    try:
        return _known_name(raw)
    except UnicodeDecodeError:
        return _text(raw)


def _long_text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _short_string(value: bytes) -> tuple[int, str]:
    if not value:
        raise ValueError("a short string without its length")
    end = value[0] + 1
    return end, _text(value[1:end])


def _timestamp(value: bytes) -> tuple[int, Any]:
    try:
        return _read_timestamp(value)
    except (ValueError, OverflowError, OSError):
        if len(value) < FIXED[b"T"]:
            raise ValueError("a time without its eight bytes") from None
        _reading.changed = True
        return 8, int.from_bytes(value[:8])


def _end_of(value: bytes) -> int:
    end = 4 + int.from_bytes(value[:4])
    if len(value) < 4 or end > len(value):
        raise ValueError("a table or list is longer than what holds it")
    return end


def _item(value: bytes, offset: int) -> tuple[int, Any]:
    """Decode the value at ``offset``; only its own bytes are copied, however many follow."""
    kind = value[offset : offset + 1]
    offset += 1
    if kind in FIXED:
        end = offset + FIXED[kind]
    elif kind and kind in SIZED:
        end = offset + 4 + int.from_bytes(value[offset : offset + 4])
    else:
        raise ValueError(f"unknown kind of value {kind!r}")
    if end > len(value):
        raise ValueError("a value is longer than what holds it")
    raw = value[offset:end]
    if kind in (b"A", b"F") and _reading.depth >= DEEPEST:
        _reading.changed = True
        return end, raw
    return end, decode.TABLE_MAPPING[kind](raw)[1]


def _table(value: bytes) -> tuple[int, Table]:
    end, offset, found = _end_of(value), 4, Table()
    _reading.depth += 1
    try:
        while offset < end:
            after = offset + 1 + value[offset]
            name = _name(value[offset + 1 : after])
            if value[after : after + 1] == b"S":
                # Nearly all there are, and three calls fewer.
                first = after + 5
                offset = first + int.from_bytes(value[after + 1 : first])
                if offset > end:
                    raise ValueError("a value is longer than what holds it")
                found[name] = _long_text(value[first:offset])
            else:
                offset, found[name] = _item(value, after)
    finally:
        _reading.depth -= 1
    return end, found


def _list(value: bytes) -> tuple[int, list[Any]]:
    end, offset, found = _end_of(value), 4, list[Any]()
    _reading.depth += 1
    try:
        while offset < end:
            offset, item = _item(value, offset)
            found.append(item)
    finally:
        _reading.depth -= 1
    return end, found


def _read(self: header.ContentHeader, data: bytes) -> None:
    """Read a message's properties: in any case its size, and whatever else can be made out."""
    _reading.depth, _reading.changed = 0, False
    raw = bytes(data[12:])
    try:
        _read_properties(self, data)
        properties = self.properties
        repaired = _repair(properties)
    except Exception:
        if len(data) < 12:
            raise
        # The size stands in front and was read; without it the next frame could not be told from this one.
        properties = self.properties = commands.Basic.Properties()
        repaired = True
    if repaired or _reading.changed:
        properties.headers = {**(properties.headers or {}), UNDECODED: base64.b64encode(raw).decode()}


def _repair(properties: commands.Basic.Properties) -> bool:
    """Remove what would make aio-pika raise when it builds the message; True if anything was removed."""
    found = False
    if properties.delivery_mode not in (None, 1, 2):
        properties.delivery_mode, found = None, True
    expiration = properties.expiration
    if expiration is not None and not (expiration.isascii() and expiration.isdigit()):
        properties.expiration, found = None, True
    timestamp: Any = properties.timestamp
    if isinstance(timestamp, int):
        properties.timestamp, found = None, True
    return found


def install() -> None:
    """Replace pamqp's decoders; repeating it changes nothing.

    Raises:
        UnsupportedLibrary: pamqp or aiormq decode in another way than this module knows.
    """
    decode.METHODS.update({"shortstr": _short_string, "table": _table, "timestamp": _timestamp})
    decode.TABLE_MAPPING.update({b"F": _table, b"A": _list, b"T": _timestamp})
    header.ContentHeader.unmarshal = _read  # type: ignore[method-assign]
    _check()


def _check() -> None:
    """Decode what pamqp by itself refuses, by the way that aiormq takes."""
    unmarshal: Any = vars(aiormq.connection)["pamqp"].frame.unmarshal
    deliver = bytes.fromhex("003c003c 0174 0000000000000001 00 0165 02fffe".replace(" ", ""))
    odd = _long(b"\x02\xff\xfeS" + _long(b"v") + b"\x01tT" + b"\xff" * 8)
    unknown = _long(b"\x01n?\x00")
    flags = commands.Basic.Properties.flags["headers"].to_bytes(2)
    head = (60).to_bytes(2) + bytes(2) + bytes(8) + flags
    try:
        method, readable, unreadable = (
            unmarshal(_frame(kind, payload))[2]
            for kind, payload in ((1, deliver), (2, head + odd), (2, head + unknown))
        )
        headers = readable.properties.headers
        known = (
            method.routing_key == r"\xff\xfe"
            and headers[r"\xff\xfe"] == "v"
            and UNDECODED in headers
            and UNDECODED in unreadable.properties.headers
        )
    except Exception as error:
        raise UnsupportedLibrary("pamqp", CHANGED) from error
    if not known:
        raise UnsupportedLibrary("pamqp", CHANGED)


def _long(payload: bytes) -> bytes:
    return len(payload).to_bytes(4) + payload


def _frame(kind: int, payload: bytes) -> bytes:
    return pamqp.frame._marshal(kind, 1, payload)


install()
