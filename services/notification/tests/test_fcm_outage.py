"""Who must fail before FCM as a whole is said to be away."""

from notification.fcm_outage import FIRST_TRIES_IN_OUTAGE, LONGEST_PAUSE_S, FcmOutage
from notification.push_scheduling import Capacity

FULL = Capacity(50, 50)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def away() -> tuple[FcmOutage, Clock]:
    clock = Clock()
    outage = FcmOutage(clock)
    for owner, branch in (("kim", "b1"), ("lee", "b2"), ("han", "b2")):
        assert not outage.is_open
        outage.failed(owner, branch)
    assert outage.is_open
    return outage, clock


def test_one_phone_over_its_quota_is_no_outage_however_often_it_fails() -> None:
    outage = FcmOutage(Clock())
    for _ in range(1000):
        outage.failed("kim", "b1")
    outage.failed("kim", "b2")
    assert not outage.is_open
    assert outage.limit(FULL, in_hand=70) == Capacity(50, 50)


def test_owners_of_one_branch_are_no_outage() -> None:
    outage = FcmOutage(Clock())
    for number in range(10):
        outage.failed(f"owner-{number}", "b1")
    assert not outage.is_open


def test_an_answer_in_between_ends_the_row() -> None:
    outage = FcmOutage(Clock())
    for _ in range(10):
        outage.failed("kim", "b1")
        outage.failed("lee", "b2")
        assert not outage.answered()
    outage.failed("han", "b3")
    assert not outage.is_open


def test_while_it_is_away_one_retry_at_a_time_shows_when_it_is_back() -> None:
    outage, clock = away()
    assert outage.limit(FULL, in_hand=0) == Capacity(FIRST_TRIES_IN_OUTAGE, 0)
    pauses = []
    for _ in range(8):
        began = clock.now
        while outage.limit(FULL, in_hand=0).retries == 0:
            clock.now += 0.05
        pauses.append(clock.now - began)
        assert outage.limit(FULL, in_hand=0).retries == 1
        outage.retry_begins()
        assert outage.limit(FULL, in_hand=1) == Capacity(FIRST_TRIES_IN_OUTAGE - 1, 0)
        outage.failed("kim", "b1")
    assert pauses[0] < 1
    assert pauses[-1] <= LONGEST_PAUSE_S + 0.1
    assert outage.answered()
    assert not outage.answered()
    assert outage.limit(FULL, in_hand=0) == Capacity(50, 50)
