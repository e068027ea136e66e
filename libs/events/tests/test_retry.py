from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from laundry_events import PermanentError
from laundry_events.retry import defer, next_move


def fail(headers: dict[str, Any], attempt: int, error: Exception) -> Any:
    return next_move(
        headers,
        queue="task.read",
        routing_key="task.read",
        attempt=attempt,
        error=error,
        service="helper",
        service_version="1",
    )


def test_a_failing_message_waits_1_2_and_4_seconds_and_then_dies() -> None:
    headers: dict[str, Any] = {"cloudEvents_id": "e1"}
    seen = []
    for attempt in (1, 2, 3, 4):
        move = fail(headers, attempt, RuntimeError("away"))
        seen.append(move.queue)
        headers = move.headers
    assert seen == ["task.read.retry.1s", "task.read.retry.2s", "task.read.retry.4s", "task.read.dlq"]
    assert headers["x-attempts"] == 4
    assert headers["x-dead-reason"] == "retries-exhausted"
    assert headers["cloudEvents_id"] == "e1"


def test_a_copy_keeps_the_moment_when_the_broker_first_took_the_message() -> None:
    first = fail({"timestamp_in_ms": 1_772_366_220_000}, 1, RuntimeError("away")).headers
    # The broker stamps the copy anew, and a put-off counts no attempt but keeps the word.
    again = defer(first | {"timestamp_in_ms": 1_900_000_000_000}, queue="task.read", routing_key="task.read")
    assert first["x-arrived-at"] == again["x-arrived-at"] == "2026-03-01T11:57:00.000Z"
    for forged in (
        {"x-arrived-at": "2020-01-01T00:00:00Z"},
        {"timestamp_in_ms": "1"},
        {"timestamp_in_ms": 10**30},
    ):
        copy = defer(forged, queue="telemetry.reported", routing_key="telemetry.washer-1")
        assert copy["x-arrived-at"] > "2026-03"


@given(attempt=st.integers(min_value=1, max_value=10))
def test_a_permanent_error_dies_at_once_with_its_reason(attempt: int) -> None:
    move = fail({}, attempt, PermanentError("never", reason="nonsense"))
    assert (move.dead, move.queue, move.headers["x-dead-reason"]) == (True, "task.read.dlq", "nonsense")


def test_a_dead_letter_says_why_where_and_when() -> None:
    first = fail({}, 1, ValueError("first"))
    last = fail(first.headers, 4, KeyError("last"))
    assert last.headers["x-first-failed-at"] == first.headers["x-first-failed-at"]
    assert last.headers["x-last-failed-at"] >= last.headers["x-first-failed-at"]
    assert last.headers["x-error-class"] == "KeyError"
    assert "last" in last.headers["x-error-message"]
    assert last.headers["x-service"] == "helper"
    assert last.headers["x-original-queue"] == "task.read"
    assert last.headers["x-original-routing-key"] == "task.read"


def raise_from(place: int) -> Exception:
    try:
        if place:
            raise RuntimeError(f"value {place}")
        raise RuntimeError("value")
    except RuntimeError as error:
        return error


def test_failures_of_one_place_share_a_digest_whatever_the_values() -> None:
    digests = [fail({}, 1, raise_from(place)).headers["x-error-digest"] for place in (1, 2, 0)]
    assert digests[0] == digests[1] != digests[2]


def test_the_brokers_own_history_does_not_travel_with_a_copy() -> None:
    history = {"x-death": [{"queue": "q"}], "x-first-death-queue": "q", "x-delivery-count": 3}
    headers = fail({**history, "cloudEvents_id": "kept"}, 1, RuntimeError()).headers
    assert headers["cloudEvents_id"] == "kept"
    assert not [name for name in headers if name.startswith(("x-death", "x-first-death", "x-delivery"))]


def test_an_error_that_quotes_half_a_surrogate_pair_can_be_told() -> None:
    headers = fail({}, 1, ValueError("no such name: \ud800")).headers
    assert headers["x-error-message"].encode() == rb"no such name: \ud800"
