from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laundry_events import PermanentError
from laundry_events.outcome import after_failure
from laundry_events.plan import Queue
from laundry_events.retry import Copy, deferred_copy, failed_copy
from laundry_events.topology import PLAN

READ = PLAN.queue("task.read")
TELEMETRY = PLAN.queue("telemetry.reported")


def fail(headers: dict[str, Any], attempt: int, error: Exception, queue: Queue = READ) -> Copy:
    return failed_copy(
        headers,
        after_failure(error, attempt=attempt, max_attempts=queue.max_attempts),
        queue=queue,
        routing_key=queue.name,
        attempt=attempt,
        service="helper",
        service_version="1",
    )


def test_a_failing_message_waits_1_2_and_4_seconds_and_then_dies() -> None:
    headers: dict[str, Any] = {"cloudEvents_id": "e1"}
    seen = []
    for attempt in (1, 2, 3, 4):
        copy = fail(headers, attempt, RuntimeError("away"))
        seen.append(copy.queue)
        headers = copy.headers
    assert seen == ["task.read.retry.1s", "task.read.retry.2s", "task.read.retry.4s", "task.read.dlq"]
    assert headers["x-attempts"] == 4
    assert headers["x-dead-reason"] == "retries-exhausted"
    assert headers["cloudEvents_id"] == "e1"


def test_a_copy_keeps_the_moment_when_the_broker_first_took_the_message() -> None:
    first = fail({"timestamp_in_ms": 1_772_366_220_000}, 1, RuntimeError("away")).headers
    # The broker stamps the copy again, and deferring counts no attempt but keeps the word.
    later = first | {"timestamp_in_ms": 1_900_000_000_000}
    again = deferred_copy(later, queue=READ, routing_key="task.read").headers
    assert first["x-arrived-at"] == again["x-arrived-at"] == "2026-03-01T11:57:00.000Z"
    for forged in (
        {"x-arrived-at": "2020-01-01T00:00:00Z"},
        {"timestamp_in_ms": "1"},
        {"timestamp_in_ms": 10**30},
    ):
        copy = deferred_copy(forged, queue=TELEMETRY, routing_key="telemetry.washer-1")
        assert copy.headers["x-arrived-at"] > "2026-03"


def test_a_queue_with_delays_of_its_own_keeps_to_them() -> None:
    patient = Queue("q", ("q",), "c", "p", retry_delays_s=(10, 60))
    waits = [fail({}, attempt, RuntimeError(), patient).queue for attempt in (1, 2, 3)]
    assert waits == ["q.retry.10s", "q.retry.60s", "q.dlq"]
    assert (patient.max_attempts, patient.retries) == (3, (("q.retry.10s", 10_000), ("q.retry.60s", 60_000)))


@pytest.mark.parametrize(
    ("delays", "queue"), [((1, 2, 4), "q.retry.4s"), ((1, 3, 60), "q.retry.3s"), ((10, 60), "q.retry.10s")]
)
def test_what_is_deferred_waits_some_seconds_whatever_its_queues_delays(
    delays: tuple[int, ...], queue: str
) -> None:
    assert Queue("q", ("q",), "c", "p", retry_delays_s=delays).defer_queue == queue


@pytest.mark.parametrize("delays", [(), (0, 1), (-1,), (2, 2)])
def test_delays_that_name_no_queue_of_their_own_are_refused(delays: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="retry delays"):
        Queue("q", ("q",), "c", "p", retry_delays_s=delays)


@given(attempt=st.integers(min_value=1, max_value=10))
def test_a_permanent_error_dies_at_once_with_its_reason(attempt: int) -> None:
    copy = fail({}, attempt, PermanentError("never", reason="nonsense"))
    assert (copy.queue, copy.headers["x-dead-reason"]) == ("task.read.dlq", "nonsense")


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
