"""Who must fail before a push service as a whole is said to be away, and what that stops."""

from notification.push_outage import FIRST_TRIES_IN_OUTAGE, LONGEST_PAUSE_S, PushOutage, PushOutages
from notification.push_scheduling import Capacity


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def away() -> tuple[PushOutage, Clock]:
    clock = Clock()
    outage = PushOutage("fcm", clock)
    for owner, branch in (("kim", "b1"), ("lee", "b2"), ("han", "b2")):
        assert not outage.is_open
        outage.failed(owner, branch)
    assert outage.is_open
    return outage, clock


def test_one_phone_over_its_quota_is_no_outage_however_often_it_fails() -> None:
    outage = PushOutage("fcm", Clock())
    for _ in range(1000):
        outage.failed("kim", "b1")
    outage.failed("kim", "b2")
    assert not outage.is_open


def test_owners_of_one_branch_are_no_outage() -> None:
    outage = PushOutage("fcm", Clock())
    for number in range(10):
        outage.failed(f"owner-{number}", "b1")
    assert not outage.is_open


def test_an_answer_in_between_ends_the_row() -> None:
    outage = PushOutage("fcm", Clock())
    for _ in range(10):
        outage.failed("kim", "b1")
        outage.failed("lee", "b2")
        assert not outage.answered()
    outage.failed("han", "b3")
    assert not outage.is_open


def test_while_it_is_away_one_retry_at_a_time_shows_when_it_is_back() -> None:
    outage, clock = away()
    assert outage.limit(in_hand=0) == Capacity(FIRST_TRIES_IN_OUTAGE, 0)
    pauses = []
    for _ in range(8):
        began = clock.now
        while outage.limit(in_hand=0).retries == 0:
            clock.now += 0.05
        pauses.append(clock.now - began)
        assert outage.limit(in_hand=0).retries == 1
        outage.retry_begins()
        assert outage.limit(in_hand=1) == Capacity(FIRST_TRIES_IN_OUTAGE - 1, 0)
        outage.failed("kim", "b1")
    assert pauses[0] < 1
    assert pauses[-1] <= LONGEST_PAUSE_S + 0.1
    assert outage.answered()
    assert not outage.answered()


def test_a_service_that_asks_to_be_left_alone_is_probed_no_sooner() -> None:
    outage, clock = away()
    outage.failed("kim", "b1", retry_after_s=30)
    clock.now = 29.9
    assert outage.limit(in_hand=0).retries == 0
    clock.now = 30
    assert outage.limit(in_hand=0).retries == 1
    outage.failed("kim", "b1", retry_after_s=1e9)
    clock.now += 60
    assert outage.limit(in_hand=0).retries == 1


def test_what_is_away_holds_back_nothing_that_goes_another_way() -> None:
    outages = PushOutages(Clock())
    for service in ("web.push.apple.com", "fcm"):
        for number in range(3):
            # Answers of another service say nothing of this one.
            assert not outages.answered("fcm.googleapis.com")
            outages.failed(service, f"owner-{number}", f"b{number % 2}")
    assert outages.held_back({"fcm": 1}) == {
        "web.push.apple.com": Capacity(FIRST_TRIES_IN_OUTAGE, 0),
        "fcm": Capacity(FIRST_TRIES_IN_OUTAGE - 1, 0),
    }
    assert outages.answered("web.push.apple.com")
    assert not outages.answered("web.push.apple.com")
    assert outages.held_back({}).keys() == {"fcm"}
