"""A letter of any headers, properties and body is listed, shown, exported and sent back like every other."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import encode

from laundry_dead_letters.actions import Summary, exported, write_line
from laundry_dead_letters.audit import record_of
from laundry_dead_letters.broker import _sendable
from laundry_dead_letters.dead_letter import DeadLetter, OperatorAction, Selection, redriven_headers
from laundry_events.headers import FOREIGN, SIGNATURE

ACT = OperatorAction("redrive", "op\ud800", "why\ud800\0" * 900)
NOW = datetime(2026, 5, 1, tzinfo=UTC)
TIMES = st.datetimes() | st.datetimes(timezones=st.timezones()) | st.just("0001-01-01T00:00:00+14:00")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals() | TIMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
NOTES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "queue": st.just("q") | VALUES,
            "reason": st.just("delivery_limit") | VALUES,
            "time": TIMES | VALUES,
            "routing-keys": st.lists(VALUES, max_size=2) | VALUES,
        },
    )
    | VALUES,
    max_size=2,
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["x-dead-reason", "x-error-class", "x-error-message", "x-attempts", "x-deliveries", "x-redriven",
         "x-delivery-count", "x-first-failed-at", "x-last-failed-at", "x-original-routing-key", "traceparent",
         "cloudEvents_type", "x-undecoded", FOREIGN, SIGNATURE, "CC"]
    ) | st.text(max_size=30),
    VALUES,
    max_size=8,
)  # fmt: skip
PROPERTIES = st.dictionaries(
    st.sampled_from(["content_type", "content_encoding", "correlation_id", "type", "app_id"]),
    st.text(max_size=300),
) | st.fixed_dictionaries({"timestamp": st.datetimes(timezones=st.timezones())})
LETTERS = st.builds(
    lambda headers, death, **rest: DeadLetter(
        "q", headers={**headers, **({"x-death": death} if death is not None else {})}, **rest
    ),
    headers=HEADERS,
    death=st.none() | NOTES | VALUES,
    message_id=st.none() | st.text(max_size=300),
    body=st.binary(max_size=50),
    properties=PROPERTIES,
)


@given(LETTERS)
def test_any_letter_can_be_looked_at(letter: DeadLetter) -> None:
    said: dict[str, Any] = exported(letter)
    json.dumps(said, allow_nan=False)
    target = io.StringIO()
    write_line(letter, target)
    assert json.loads(target.getvalue())["queue"] == "q"
    summary = Summary("q")
    for _ in range(2):
        summary.add(letter)
    assert summary.reasons.total() == 2
    assert Selection(only=frozenset({letter.fingerprint}), reason=letter.reason).takes(letter)
    json.dumps(record_of(letter, ACT, NOW))
    assert len(letter.reason) <= 256


@given(LETTERS)
def test_any_letter_can_be_sent_back(letter: DeadLetter) -> None:
    headers = redriven_headers(letter, ACT, NOW)
    assert len(encode.field_table(headers)) < 100_000
    assert headers["x-redriven"] == letter.redriven + 1
    assert not {"CC", "BCC", "x-dead-reason", "x-error-class", "x-attempts"} & headers.keys()
    for name, value in _sendable(letter.properties).items():
        encode.by_type(value, "timestamp" if name == "timestamp" else "shortstr") if value else None


@pytest.mark.parametrize("signature", ["v1:0", None])
def test_it_says_whether_it_is_signed_and_keeps_it(signature: str | None) -> None:
    headers = {} if signature is None else {SIGNATURE: signature}
    letter = DeadLetter("q", "m", headers, b"")
    assert exported(letter)["signed"] is letter.signed is (signature is not None)
    assert redriven_headers(letter, ACT, NOW).get(SIGNATURE) == signature
