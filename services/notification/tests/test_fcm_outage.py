"""Who must fail before FCM as a whole is said to be away."""

from notification.fcm_outage import FIRST_TRIES_AWAY, LONGEST_PAUSE_S, Outage


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def away() -> tuple[Outage, Clock]:
    clock = Clock()
    outage = Outage(clock)
    for owner, branch in (("kim", "b1"), ("lee", "b2"), ("han", "b2")):
        assert not outage.away
        outage.failed(owner, branch)
    assert outage.away
    return outage, clock


def test_one_phone_over_its_quota_is_no_outage_however_often_it_fails() -> None:
    outage = Outage(Clock())
    for _ in range(1000):
        outage.failed("kim", "b1")
    outage.failed("kim", "b2")
    assert not outage.away
    assert outage.room(first_tries=50, retries=50, in_hand=70) == (50, 50)


def test_owners_of_one_branch_are_no_outage() -> None:
    outage = Outage(Clock())
    for number in range(10):
        outage.failed(f"owner-{number}", "b1")
    assert not outage.away


def test_an_answer_in_between_ends_the_row() -> None:
    outage = Outage(Clock())
    for _ in range(10):
        outage.failed("kim", "b1")
        outage.failed("lee", "b2")
        assert not outage.answered()
    outage.failed("han", "b3")
    assert not outage.away


def test_while_it_is_away_one_retry_at_a_time_shows_when_it_is_back() -> None:
    outage, clock = away()
    assert outage.room(first_tries=50, retries=50, in_hand=0) == (FIRST_TRIES_AWAY, 0)
    pauses = []
    for _ in range(8):
        began = clock.now
        while outage.room(first_tries=50, retries=50, in_hand=0)[1] == 0:
            clock.now += 0.05
        pauses.append(clock.now - began)
        assert outage.room(first_tries=50, retries=50, in_hand=0)[1] == 1
        outage.tries()
        assert outage.room(first_tries=50, retries=50, in_hand=1) == (FIRST_TRIES_AWAY - 1, 0)
        outage.failed("kim", "b1")
    assert pauses[0] < 1
    assert pauses[-1] <= LONGEST_PAUSE_S + 0.1
    assert outage.answered()
    assert not outage.answered()
    assert outage.room(first_tries=50, retries=50, in_hand=0) == (50, 50)
