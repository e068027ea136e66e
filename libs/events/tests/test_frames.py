"""What is encoded here is what pamqp would have encoded."""

from typing import Any

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from laundry_events.frames import AROUND, event_properties, publish_frames

names = st.text(max_size=40).filter(lambda name: len(name.encode()) <= 128)
texts = st.dictionaries(names, st.text(max_size=80))
others = st.dictionaries(names, st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20) | st.booleans())


def read(frames: bytes) -> list[Any]:
    found = []
    while frames:
        size, channel, frame = pamqp.frame.unmarshal(frames)
        assert channel == 3
        found.append(frame)
        frames = frames[size:]
    return found


@given(texts | others, st.none() | st.just("application/json"), st.text(min_size=1, max_size=60))
def test_properties_are_read_as_they_were_meant(
    headers: dict[str, Any], content_type: str | None, message_id: str
) -> None:
    encoded = event_properties(headers, message_id=message_id, content_type=content_type, app_id="tests")
    _, header, _ = read(publish_frames(3, "e", "k", encoded, b"{}", most_bytes=100))
    assert isinstance(header, ContentHeader)
    expected = Basic.Properties(
        content_type=content_type, delivery_mode=2, headers=headers, message_id=message_id, app_id="tests"
    )
    assert header.properties == expected


@given(st.binary(max_size=300), st.integers(1, 120))
def test_a_body_is_split_where_a_frame_ends(body: bytes, most_bytes: int) -> None:
    properties = Basic.Properties(message_id="m", priority=3)
    frames = publish_frames(
        3, "laundry.events", "task.read", properties.marshal(), body, most_bytes=most_bytes
    )
    method, header, *bodies = read(frames)
    assert (method.exchange, method.routing_key, method.mandatory) == ("laundry.events", "task.read", True)
    assert (header.body_size, header.properties) == (len(body), properties)
    assert b"".join(each.value for each in bodies) == body
    assert all(isinstance(each, ContentBody) and 0 < len(each.value) <= most_bytes for each in bodies)


def test_a_frame_is_as_long_as_was_agreed() -> None:
    frames = publish_frames(
        3,
        "e",
        "k",
        event_properties({}, message_id="m", content_type=None, app_id="a"),
        bytes(1000),
        most_bytes=512 - AROUND,
    )
    whole = frames[-(1000 - 504 + AROUND) - 512 : -(1000 - 504 + AROUND)]
    assert pamqp.frame.unmarshal(whole)[0] == 512


@pytest.mark.parametrize(
    "wrong",
    [
        {"message_id": "x" * 256},
        {"message_id": "\ud800"},
        {"headers": {"n": "\ud800"}},
        {"headers": {"x" * 256: "v"}},
        {"headers": {"n": object()}},
    ],
)
def test_what_cannot_be_encoded_is_an_error(wrong: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {
        "headers": {},
        "message_id": "m",
        "content_type": None,
        "app_id": "a",
    } | wrong
    with pytest.raises((ValueError, TypeError)):
        event_properties(**arguments)


def test_a_key_that_is_too_long_is_an_error() -> None:
    with pytest.raises((ValueError, TypeError)):
        publish_frames(3, "e", "k" * 256, b"", b"", most_bytes=100)
