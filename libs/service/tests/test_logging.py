"""Libraries that repeat themselves."""

import logging

from laundry_service.telemetry.logging import RateLimitFilter


def record(name: str, line: int, text: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, "x.py", line, text, args, None)


def test_the_same_place_speaks_once_a_minute_and_says_how_often_it_would_have() -> None:
    now = 0.0
    limiter = RateLimitFilter("aiormq", clock=lambda: now)
    assert limiter.filter(record("aiormq.connection", 1, "no %s", "a"))
    assert not limiter.filter(record("aiormq.connection", 1, "no %s", "b"))
    assert limiter.filter(record("aiormq.connection", 2, "another place"))
    now = 59.9
    assert not limiter.filter(record("aiormq.connection", 1, "no %s", "c"))
    now = 60.0
    told = record("aiormq.connection", 1, "no %s", "100%")
    assert limiter.filter(told)
    assert told.getMessage() == "no 100% (and 2 more since)"
    now = 120.0
    told = record("aiormq.connection", 1, "no %s", "d")
    assert limiter.filter(told)
    assert told.getMessage() == "no d"


def test_what_is_not_named_is_never_left_out() -> None:
    limiter = RateLimitFilter("aiormq")
    assert all(limiter.filter(record("laundry_events.relay", 1, "the same")) for _ in range(3))
    assert all(limiter.filter(record("aiormq_like", 1, "the same")) for _ in range(3))
