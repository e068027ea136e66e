"""Frames that pamqp refuses by itself are read: one odd message ends no connection."""

import base64
from typing import Any

import pamqp.frame
import pytest
from aio_pika import IncomingMessage
from aiormq.abc import DeliveredMessage
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, decode
from pamqp.header import ContentHeader

from laundry_events import wire
from laundry_events.headers import UNDECODED
from laundry_events.wire import DEEPEST

FLAGS = commands.Basic.Properties.flags


def long(payload: bytes) -> bytes:
    return len(payload).to_bytes(4) + payload


def read(flags: int, payload: bytes, *, size: int = 7) -> ContentHeader:
    data = (60).to_bytes(2) + bytes(2) + size.to_bytes(8) + flags.to_bytes(2) + payload
    consumed, channel, frame = pamqp.frame.unmarshal(pamqp.frame._marshal(2, 3, data))
    assert (consumed, channel) == (len(data) + 8, 3)
    assert isinstance(frame, ContentHeader)
    assert frame.body_size == size
    return frame


def headers_of(table: bytes) -> dict[str, Any]:
    found = read(FLAGS["headers"], long(table)).properties.headers
    assert found is not None
    return found


def taken(header: ContentHeader) -> IncomingMessage:
    """Make the message that a consumer is handed."""
    delivery = commands.Basic.Deliver("c", 1, False, "e", "k")
    return IncomingMessage(DeliveredMessage(delivery, header, b"", None))  # type: ignore[arg-type]


def test_a_name_that_is_no_utf_8_is_shown_and_what_came_is_kept() -> None:
    table = b"\x02\xff\xfeS" + long(b"v") + b"\x01kS" + long(b"w")
    headers = headers_of(table)
    assert (headers[r"\xff\xfe"], headers["k"]) == ("v", "w")
    assert base64.b64decode(headers[UNDECODED]) == FLAGS["headers"].to_bytes(2) + long(table)


def test_what_is_well_is_read_as_ever_and_not_marked() -> None:
    properties = commands.Basic.Properties(
        headers={"a": 1, "b": "ü", "c": [1, None, {"d": True}], "e": b"\xff"[:0].decode()}, message_id="m"
    )
    frame = read(int.from_bytes(properties.marshal()[:2]), properties.marshal()[2:])
    assert frame.properties == properties


def test_a_time_beyond_all_years_and_an_unknown_kind_end_nothing() -> None:
    headers = headers_of(b"\x01tT" + b"\xff" * 8 + b"\x01a" + b"A" + long(b"T" + b"\xff" * 8))
    assert headers["t"] == headers["a"][0] == 2**64 - 1
    assert list(headers_of(b"\x01u?" + bytes(9))) == [UNDECODED]


@pytest.mark.parametrize("kind", [b"F", b"A"])
def test_tables_within_tables_without_end_are_not_followed(kind: bytes) -> None:
    payload = b""
    for _ in range(5_000):
        payload = (b"\x01n" if kind == b"F" else b"") + kind + long(payload)
    headers = headers_of(payload if kind == b"F" else b"\x01n" + payload)
    depth, value = 0, headers["n"]
    while isinstance(value, dict | list):
        value, depth = value["n"] if isinstance(value, dict) else value[0], depth + 1
    assert isinstance(value, bytes)
    assert 0 < depth <= DEEPEST
    assert UNDECODED in headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("delivery_mode", b"\x07"),
        ("expiration", b"\x04soon"),
        ("expiration", b"\x02-1"),
        ("timestamp", b"\xff" * 8),
        ("message_id", b"\x02\xff\xfe"),
    ],
)
def test_a_property_that_aio_pika_refuses_leaves_a_message_to_be_taken(name: str, value: bytes) -> None:
    header = read(FLAGS[name], value)
    assert UNDECODED in taken(header).headers


@given(st.integers(0, 0xFFFE), st.binary(max_size=300))
def test_no_bytes_in_the_place_of_properties_raise(flags: int, payload: bytes) -> None:
    taken(read(flags & 0xFFFE, payload))


@given(st.binary(max_size=60))
def test_no_bytes_in_the_place_of_headers_raise(table: bytes) -> None:
    taken(read(FLAGS["headers"], long(table)))


@given(st.binary(min_size=1, max_size=30))
def test_a_routing_key_of_any_bytes_is_read(key: bytes) -> None:
    method = bytes.fromhex("003c003c") + b"\x01c" + bytes(8) + b"\x00" + b"\x01e" + bytes([len(key)]) + key
    _, _, frame = pamqp.frame.unmarshal(pamqp.frame._marshal(1, 1, method))
    assert isinstance(frame, commands.Basic.Deliver)
    assert frame.routing_key == key.decode(errors="backslashreplace")


def test_another_way_of_decoding_is_noticed_when_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ContentHeader, "unmarshal", wire._read_properties)
    with pytest.raises(RuntimeError, match=r"laundry_events\.wire"):
        wire._check()


def test_a_library_that_no_longer_asks_its_tables_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "METHODS", dict(decode.METHODS, shortstr=decode.short_str))
    with pytest.raises(RuntimeError, match=r"requirements\.lock"):
        wire._check()
