"""What a copy carries: only what is allowed, of types that can be encoded, in a size that fits a frame."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import encode
from pamqp.commands import Basic

from laundry_events.headers import COUNTS, FOREIGN, LARGEST_COUNT, LEFT_OUT, TEXTS, allowed, short
from laundry_events.outcome import Retry
from laundry_events.plan import Queue
from laundry_events.retry import deferred_copy, failed_copy

QUEUE = Queue("q", ("k",), "s", "tests")
FRAME_BYTES = 128 * 1024

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.binary(max_size=40),
    st.binary(max_size=40).map(bytearray),
    st.decimals(),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
NAMES = st.one_of(
    st.sampled_from(
        [*COUNTS, *TEXTS, "CC", "BCC", "x-death", "x-delivery-count", "x-match", "cloudEvents_id",
         "cloudEvents:id", "cloudEvents_Type", "cloudEvents_", "expiration", "deliveryMode"]
    ),
    st.text(max_size=200),
)  # fmt: skip
HEADERS = st.dictionaries(NAMES, VALUES, max_size=12)


def deferred(headers: dict[str, Any], properties: dict[str, Any] | None = None) -> dict[str, Any]:
    return deferred_copy(headers, queue=QUEUE, routing_key="q", properties=properties).headers


def is_allowed(name: str) -> bool:
    return name in COUNTS or name in TEXTS or name.startswith(("cloudEvents_", "cloudEvents:"))


@given(HEADERS, st.dictionaries(st.sampled_from(["correlation_id", "priority"]), VALUES))
def test_whatever_came_a_copy_has_only_allowed_headers_and_can_be_encoded(
    headers: dict[str, Any], properties: dict[str, Any]
) -> None:
    copies = [
        allowed(headers, properties),
        deferred(headers, properties=properties),
        failed_copy(
            headers,
            Retry(ValueError("\ud800")),
            queue=QUEUE,
            routing_key="k",
            attempt=1,
            service="s",
            service_version="1",
            properties=properties,
        ).headers,
    ]
    for copied in copies:
        assert all(is_allowed(name) for name in copied)
        assert {type(value) for value in copied.values()} <= {str, int}
        assert len(encode.field_table(copied)) < FRAME_BYTES
        assert allowed(copied) == copied, "a copy of a copy says the same"
        if FOREIGN in copied:
            assert isinstance(json.loads(copied[FOREIGN]), dict)


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20).map("stranger-{}".format)
        | st.text("abc", min_size=1, max_size=20).map("cloudEvents_{}".format),
        st.integers(0, 140_000).map(lambda size: "j\x07"[: size + 1] * (size // 2)),
        max_size=60,
    )
)
def test_a_copy_fits_into_a_frame_whatever_a_stranger_sent(headers: dict[str, Any]) -> None:
    ours = {"cloudEvents_id": "e1", "traceparent": "00-1-2-01", "x-first-failed-at": "2026-01-01T00:00:00Z"}
    copied = deferred({**ours, **headers})
    properties = Basic.Properties(headers=copied, message_id="m" * 255, content_type="c" * 255)
    assert len(properties.marshal()) < FRAME_BYTES
    assert {"traceparent", "x-first-failed-at"} <= copied.keys()
    whole = json.loads(copied.get(FOREIGN, "{}"))
    cut = [name for name, value in headers.items() if whole.get(name, copied.get(name)) != value]
    assert copied.get(LEFT_OUT, 0) == len(cut)


def test_a_person_can_read_what_was_foreign() -> None:
    foreign = {
        "CC": ["everybody"],
        "colour": "blue",
        "x-correlation-id": b"\xff\xfe",
        "price": Decimal("1.50"),
        "at": datetime(2026, 5, 1, tzinfo=UTC),
        "rate": float("nan"),
        "x-attempt": "nine",
        "nothing": None,
    }
    told = json.loads(allowed(foreign, {"reply_to": "me"})[FOREIGN])
    assert told == {
        "CC": ["everybody"],
        "colour": "blue",
        "x-correlation-id": r"b'\xff\xfe'",
        "price": "Decimal('1.50')",
        "at": "2026-05-01 00:00:00+00:00",
        "rate": "nan",
        "x-attempt": "nine",
        "nothing": None,
        "property reply_to": "me",
    }


@pytest.mark.parametrize("value", [-1, LARGEST_COUNT + 1, 2**63, True, "1", 1.0, None, timedelta(1)])
def test_a_count_that_is_none_is_foreign(value: Any) -> None:
    assert set(allowed({"x-put-off": value})) <= {FOREIGN, LEFT_OUT}
    assert deferred({"x-put-off": value})["x-put-off"] == 1


def test_counts_stay_where_they_end() -> None:
    assert deferred({"x-put-off": LARGEST_COUNT})["x-put-off"] == LARGEST_COUNT


@given(st.text(max_size=400) | st.just("\ud800" * 300))
def test_a_property_is_at_most_255_bytes(text: str) -> None:
    cut = short(text)
    assert cut is None or len(cut.encode()) <= 255
    assert short(None) is None
