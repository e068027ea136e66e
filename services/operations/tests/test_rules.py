"""Ages from counters, and warnings."""

from prometheus_client import REGISTRY

from laundry_events.topology import PLAN
from operations.queue_health import Age, Ages, Counts, warnings
from operations.service import sampling


def test_the_head_came_after_the_last_sample_that_did_not_count_it() -> None:
    ages = Ages(["q"])
    for now, published in ((0.0, 5), (10.0, 8), (20.0, 9), (30.0, 9), (40.0, 9)):
        ages.observe(Counts("q", published=published), now)
    assert ages.oldest(Counts("q", published=9), 50) is None, "nothing waits"
    # One waits, the ninth, published between 10 and 20 s.
    assert ages.oldest(Counts("q", ready=1, published=9), 50) == Age(40, "at_most")
    assert ages.oldest(Counts("q", ready=2, unacked=2, published=9), 50) == Age(50, "at_most")
    assert ages.oldest(Counts("q", ready=7, published=9), 50) == Age(50, "at_least"), "there before we looked"


def test_nothing_is_kept_of_queues_that_come_and_go() -> None:
    ages = Ages(["q"])
    for n in range(3):
        ages.observe(Counts(f"helper.replies.{n}", published=n), 0)
        assert ages.oldest(Counts(f"helper.replies.{n}", ready=1, published=n + 1), 9) == Age(0, "at_least")
    assert not ages._samples


def test_a_restarted_node_counts_from_zero() -> None:
    ages = Ages(["q"])
    ages.observe(Counts("q", published=900), 0)
    ages.observe(Counts("q", published=0), 10)
    assert ages.oldest(Counts("q", ready=3, published=0), 15) == Age(5, "at_least")


def test_a_queue_is_quiet_since_the_first_look_that_counted_what_came_last() -> None:
    ages = Ages(["q"])
    for now, published in ((0.0, 5), (10.0, 8), (20.0, 9), (30.0, 9), (40.0, 9)):
        ages.observe(Counts("q", published=published), now)
    assert ages.quiet_s(Counts("q", published=9), 50) == 30
    assert ages.quiet_s(Counts("q", published=10), 50) == 0, "it came after the last look"
    assert ages.quiet_s(Counts("never-looked-at"), 50) == 0


def test_warnings_name_what_a_person_should_look_at() -> None:
    well = Counts("q", consumers=1, state="running")
    assert warnings(well, Counts("q.dlq"), age=None, max_length=100, stream=False) == []
    ill = Counts("q", ready=80, state="down", members=3, online=2)
    assert warnings(ill, Counts("q.dlq", ready=1), age=Age(61, "at_least"), max_length=100, stream=False) == [
        "not-running",
        "replica-offline",
        "no-consumers",
        "nearly-full",
        "old-messages",
        "dead-letters",
    ]


def value(name: str, queue: str = "task.read") -> float | None:
    return REGISTRY.get_sample_value(name, {"queue": queue})


def test_metrics_show_the_last_look_and_nothing_while_the_broker_is_away() -> None:
    ages = Ages(["task.read"])
    read = Counts("task.read", ready=3, unacked=2, consumers=4, published=9)
    ages.observe(read, 0)
    sampling.show(PLAN, {"task.read": read, "task.read.dlq": Counts("task.read.dlq", ready=7)}, ages, 60)
    assert value("laundry_queue_messages") == 5
    assert value("laundry_queue_consumers") == 4
    assert value("laundry_queue_oldest_seconds") == 60
    assert value("laundry_dead_letters") == 7
    assert value("laundry_queue_consumers", "equipment.fault") == 0, "a queue that is missing"
    assert value("laundry_queue_consumers", "model.promoted") is None, "replicas read a stream when they like"
    sampling.hide()
    assert value("laundry_queue_consumers") is None
