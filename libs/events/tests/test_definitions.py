import re
from dataclasses import replace
from typing import Any

import pytest

from laundry_events.definitions import definitions
from laundry_events.events import EVENTS, PersonErased, PersonForgotten
from laundry_events.plan import (
    ALIVE_EXCHANGE,
    EVENTS_EXCHANGE,
    REPLIES_EXCHANGE,
    REQUESTS_EXCHANGE,
    RETRY_EXCHANGE,
)
from laundry_events.topology import HISTORY, HISTORY_EXCHANGE, HISTORY_INTAKE, PLAN, RETRY_ONCE_S

PASSWORDS = {service.name: "secret" for service in PLAN.services}
DOCUMENT = definitions(PLAN, PASSWORDS, nodes=3)
QUEUES = {queue["name"]: queue for queue in DOCUMENT["queues"]}


def policy_of(queue: str) -> dict[str, Any]:
    found = [policy for policy in DOCUMENT["policies"] if re.search(policy["pattern"], queue)]
    assert len(found) == 1, f"{queue} has {len(found)} policies; only one would be in force"
    return dict(found[0]["definition"])


def test_every_queue_but_the_broadcast_and_the_history_is_a_quorum_queue_on_all_nodes() -> None:
    kinds = {name: queue["arguments"]["x-queue-type"] for name, queue in QUEUES.items()}
    assert {name for name, kind in kinds.items() if kind != "quorum"} == {"model.promoted", HISTORY}
    assert all(
        queue["arguments"]["x-quorum-initial-group-size"] == 3
        for queue in QUEUES.values()
        if queue["arguments"]["x-queue-type"] == "quorum"
    )


def test_every_main_queue_has_its_retries_and_a_dead_letter_queue() -> None:
    for queue in PLAN.queues:
        if queue.kind == "stream":
            continue
        delays = RETRY_ONCE_S if queue.every or queue.keys[0].startswith("person.") else (1, 2, 4)
        assert {f"{queue.name}.retry.{n}s" for n in delays} | {f"{queue.name}.dlq"} <= QUEUES.keys()
        for seconds in delays:
            policy = policy_of(f"{queue.name}.retry.{seconds}s")
            assert policy["message-ttl"] == seconds * 1000
            assert policy["dead-letter-routing-key"] == queue.name
        assert policy_of(queue.name)["dead-letter-routing-key"] == f"{queue.name}.dlq"


def test_main_and_retry_queues_never_drop() -> None:
    for name in QUEUES:
        if name in {"model.promoted", "photo.preview", HISTORY} or name.endswith(".dlq"):
            continue
        assert policy_of(name)["dead-letter-strategy"] == "at-least-once"
        assert policy_of(name)["overflow"] == "reject-publish"


def test_requests_wait_for_seconds_and_are_no_dead_letters() -> None:
    policy = policy_of("photo.preview")
    assert (policy["message-ttl"], policy["overflow"]) == (2000, "reject-publish")
    assert policy["max-length"] == 50
    assert "dead-letter-exchange" not in policy
    bound = [
        (b["source"], b["routing_key"]) for b in DOCUMENT["bindings"] if b["destination"] == "photo.preview"
    ]
    # No reader of all events ever sees a photo that is asked about.
    assert bound == [(REQUESTS_EXCHANGE, "photo.preview")]


def test_answers_go_to_who_asked_and_nowhere_else() -> None:
    mine, others = "helper.replies.0a1b", ("task.read", "search.replies.0a1b", "helper.replies.", "amq.gen-x")
    for service in PLAN.services:
        asks, answers = service.name == "helper", service.name == "ai-consumer"
        may = next(p for p in DOCUMENT["permissions"] if p["user"] == service.name)
        topic = {t["exchange"]: t for t in DOCUMENT["topic_permissions"] if t["user"] == service.name}
        for verb in ("configure", "write", "read"):
            assert bool(re.search(may[verb], mine)) == asks, "its own queues only"
            assert not [name for name in others[1:] if re.search(may[verb], name)]
        assert bool(re.search(may["write"], REQUESTS_EXCHANGE)) == asks
        assert bool(re.search(may["write"], REPLIES_EXCHANGE)) == answers
        assert bool(re.search(topic[REQUESTS_EXCHANGE]["write"], "photo.preview")) == asks
        assert bool(re.search(topic[REPLIES_EXCHANGE]["write"], mine)) == answers
        assert bool(re.search(topic[REPLIES_EXCHANGE]["read"], mine)) == asks
        assert not [name for name in others if re.search(topic[REPLIES_EXCHANGE]["write"], name)]


def test_dead_letters_live_seven_days_and_are_never_dropped_for_being_looked_at() -> None:
    policy = policy_of("task.read.dlq")
    assert policy["message-ttl"] == 7 * 24 * 3600 * 1000
    assert policy["delivery-limit"] == -1


def test_each_event_has_exactly_one_publisher_and_a_queue() -> None:
    for event in EVENTS:
        publishers = [s.name for s in PLAN.services if event.routing_key in s.publishes]
        # Who takes PersonErased answers it.
        answers = {q.consumer for q in PLAN.takers(PersonErased.routing_key)}
        assert set(publishers) == answers if event is PersonForgotten else len(publishers) == 1
        bound = [b for b in DOCUMENT["bindings"] if b["routing_key"] == event.routing_key]
        assert any(b["source"] == EVENTS_EXCHANGE for b in bound), event.event_type


@pytest.mark.parametrize("service", PLAN.services, ids=lambda s: s.name)
def test_a_service_may_touch_only_what_is_its_own(service: Any) -> None:
    permission = next(p for p in DOCUMENT["permissions"] if p["user"] == service.name)
    own = {queue.name for queue in PLAN.consumed_by(service.name)}
    own |= {each.name for each in PLAN.requests if each.answered_by == service.name}
    own |= {str(queue.dead) for queue in PLAN.queues if queue.dead and service.operates}
    assert {name for name in QUEUES if re.search(permission["read"], name)} == own
    assert not [
        name for name in (*QUEUES, "amq.default", "") if re.search(permission["configure"], name or "x")
    ]
    assert not re.search(permission["write"], "amq.default")
    for queue in QUEUES:
        assert not re.search(permission["write"], queue), "queues are reached through exchanges only"
    consumes = any(queue.kind == "quorum" for queue in PLAN.consumed_by(service.name))
    assert bool(re.search(permission["read"], ALIVE_EXCHANGE)) == consumes
    assert bool(re.search(permission["write"], RETRY_EXCHANGE)) == consumes
    assert not re.search(permission["write"], ALIVE_EXCHANGE), "nothing is ever published there"
    topics = {t["exchange"]: t["write"] for t in DOCUMENT["topic_permissions"] if t["user"] == service.name}
    assert bool(re.search(permission["write"], HISTORY_EXCHANGE)) == (service.name == "operations")
    allowed = {e.routing_key for e in EVENTS if re.search(topics[EVENTS_EXCHANGE], e.routing_key)}
    assert allowed == set(service.publishes)
    assert bool(re.search(topics["laundry.requeue"], "task.submitted")) == service.operates
    assert bool(re.search(permission["write"], "laundry.requeue")) == service.operates


def test_only_who_operates_sees_the_management_api_and_administers_nothing() -> None:
    tags = {user["name"]: user["tags"] for user in DOCUMENT["users"]}
    assert tags.pop("operations") == ["management"]
    assert not any(tags.values())


def test_no_clear_password_is_written() -> None:
    assert "secret" not in repr(DOCUMENT)


def test_a_service_without_a_password_is_an_error() -> None:
    with pytest.raises(ValueError, match="helper"):
        definitions(PLAN, {**PASSWORDS, "helper": ""})


def test_the_history_gets_a_copy_of_every_event_and_is_nobodys_reader() -> None:
    keys = {event.routing_key for event in EVENTS}
    assert set(PLAN.queue(HISTORY_INTAKE).keys) == set(PLAN.queue(HISTORY).keys) == keys
    for key in keys:
        assert HISTORY_INTAKE not in {queue.name for queue in PLAN.takers(key)}
    kept = policy_of(HISTORY)
    assert (kept["max-age"], kept["stream-max-segment-size-bytes"]) == ("30D", 4 * 1024 * 1024)


def test_a_new_event_is_kept_as_soon_as_somebody_may_publish_it() -> None:
    services = tuple(
        replace(each, publishes=(*each.publishes, "towel.lost")) if each.name == "helper" else each
        for each in PLAN.services
    )
    assert "towel.lost" in replace(PLAN, services=services).queue(HISTORY_INTAKE).keys
