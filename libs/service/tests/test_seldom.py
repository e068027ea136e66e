"""Libraries that repeat themselves."""

import logging

from laundry_service.telemetry.logging import Seldom


def record(name: str, line: int, text: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, "x.py", line, text, args, None)


def test_the_same_place_speaks_once_a_minute_and_says_how_often_it_would_have() -> None:
    now = 0.0
    seldom = Seldom("aiormq", clock=lambda: now)
    assert seldom.filter(record("aiormq.connection", 1, "no %s", "a"))
    assert not seldom.filter(record("aiormq.connection", 1, "no %s", "b"))
    assert seldom.filter(record("aiormq.connection", 2, "another place"))
    now = 59.9
    assert not seldom.filter(record("aiormq.connection", 1, "no %s", "c"))
    now = 60.0
    told = record("aiormq.connection", 1, "no %s", "100%")
    assert seldom.filter(told)
    assert told.getMessage() == "no 100% (and 2 more since)"
    now = 120.0
    told = record("aiormq.connection", 1, "no %s", "d")
    assert seldom.filter(told)
    assert told.getMessage() == "no d"


def test_what_is_not_named_is_never_left_out() -> None:
    seldom = Seldom("aiormq")
    assert all(seldom.filter(record("laundry_events.relay", 1, "the same")) for _ in range(3))
    assert all(seldom.filter(record("aiormq_like", 1, "the same")) for _ in range(3))
