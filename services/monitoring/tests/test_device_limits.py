"""For whom a message may speak, and how much one device may send. Rules alone."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laundry_events import EventMeta, PermanentError
from monitoring.device_limits import DeviceKey, DeviceLimits
from monitoring.device_login import DeviceLogin, branches_allowed
from monitoring.service.device_logins import principal_of
from monitoring.subscribers import QUEUE, arrived_at
from monitoring.telemetry import IndexedSample, ParsedTelemetry, Sample
from monitoring.token_buckets import TokenBuckets

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WASHER_1, WASHER_2 = (DeviceKey(f"washer-{n}", frozenset({"b1"})) for n in (1, 2))
NAMESAKE = DeviceKey("washer-1", frozenset({"b2"}))


def login(*branches: str, seconds: float = 60, token_id: str | None = None) -> DeviceLogin:
    return DeviceLogin(
        "washer-1", "washer-1", frozenset(branches), NOW + timedelta(seconds=seconds), token_id
    )


def test_a_message_speaks_for_the_branches_of_the_logins_that_live() -> None:
    logins = [login("b1"), login("b2", seconds=-1), login("b3", token_id="gone")]
    allowed = branches_allowed(logins, lambda each: each.token_id != "gone", arrived_at=NOW)
    assert allowed == frozenset({"b1"})
    assert branches_allowed(None, lambda _: False, arrived_at=NOW) is None


@pytest.mark.parametrize(
    ("logins", "reason"),
    [([], "token-expired"), ([login("b1", seconds=-1)], "token-expired"), ([login("b1")], "token-denied")],
)
def test_a_message_of_a_login_that_is_over_is_refused_with_the_reason(
    logins: list[DeviceLogin], reason: str
) -> None:
    with pytest.raises(PermanentError) as caught:
        branches_allowed(logins, lambda _: False, arrived_at=NOW)
    assert caught.value.reason == reason


@given(st.lists(st.tuples(st.floats(min_value=0, max_value=5), st.integers(min_value=1, max_value=500))))
def test_nobody_sends_more_than_the_rate_the_burst_and_one_request(steps: list[tuple[float, int]]) -> None:
    buckets, now, sent = TokenBuckets(per_second=20, burst=1000), 0.0, 0
    for pause, amount in steps:
        now += pause
        wait = buckets.wait_s("washer-1", now)
        if wait == 0:
            buckets.spend("washer-1", amount, now)
            sent += amount
            assert sent <= 1000 + 20 * now + 500
        else:
            assert buckets.wait_s("washer-1", now + wait + 0.001) == 0
        assert buckets.wait_s("washer-2", now) == 0


def _parsed(*codes: str | None) -> ParsedTelemetry:
    samples = [
        IndexedSample(
            n,
            Sample(equipment_id="washer-1", branch_id="b1", kind="washer", recorded_at=NOW, fault_code=code),
        )
        for n, code in enumerate(codes)
    ]
    return ParsedTelemetry(samples)


def test_above_its_rate_a_devices_codes_are_taken_each_once_in_a_while() -> None:
    moment = [0.0]
    limits = DeviceLimits(rate=20, burst=10, dead_letters_h=2, clock=lambda: moment[0])
    taken = limits.fault_codes_only(WASHER_1, _parsed(None, "E1", "E1", "E2", None)).samples
    assert [each.sample.fault_code for each in taken] == ["E1", "E2"]
    assert not limits.fault_codes_only(WASHER_1, _parsed("E1", "E2", None)).samples
    assert limits.fault_codes_only(WASHER_2, _parsed("E1")).samples
    moment[0] = 61
    assert [each.sample.fault_code for each in limits.fault_codes_only(WASHER_1, _parsed("E1")).samples] == [
        "E1"
    ]
    flood = limits.fault_codes_only(WASHER_1, _parsed(*(f"F{n}" for n in range(500)))).samples
    assert len(flood) <= 20
    assert [limits.may_dead_letter(WASHER_1) for _ in range(4)] == [True, True, False, False]


def test_what_one_device_sends_is_not_counted_for_its_namesake_in_another_branch() -> None:
    limits = DeviceLimits(rate=20, burst=10, dead_letters_h=2, clock=lambda: 0.0)
    limits.spend(WASHER_1, 1000)
    limits.fault_codes_only(WASHER_1, _parsed("E1", *(f"F{n}" for n in range(500))))
    assert [limits.may_dead_letter(WASHER_1) for _ in range(3)] == [True, True, False]
    assert limits.wait_s(WASHER_1) > 0
    assert limits.wait_s(NAMESAKE) == 0
    assert limits.may_log(NAMESAKE)
    assert len(limits.fault_codes_only(NAMESAKE, _parsed("E1")).samples) == 1
    assert limits.may_dead_letter(NAMESAKE)


def test_a_code_that_could_not_be_stored_is_taken_when_it_comes_again() -> None:
    limits = DeviceLimits(rate=20, burst=10, dead_letters_h=2, clock=lambda: 0.0)
    codes = [f"F{n}" for n in range(20)]
    for _ in range(3):
        taken = limits.fault_codes_only(WASHER_1, _parsed(*codes)).samples
        assert [each.sample.fault_code for each in taken] == codes
        limits.codes_not_stored(WASHER_1, codes)
    limits.codes_not_stored(WASHER_1, ["never-taken"])
    assert len(limits.fault_codes_only(WASHER_1, _parsed(*(f"G{n}" for n in range(30)))).samples) == 20


def test_a_login_remembers_what_the_deny_list_and_the_keys_ask_for() -> None:
    issued = datetime(2026, 11, 28, 9, tzinfo=UTC)
    kept = principal_of(DeviceLogin("washer-1", "washer-1", frozenset({"b1"}), NOW, "t-1", issued, "key-1"))
    assert (kept.sub, kept.role, kept.branches) == ("washer-1", "device", frozenset({"b1"}))
    assert (kept.token_id, kept.issued_at, kept.key) == ("t-1", issued.timestamp(), "key-1")
    # Its end is asked of the moment when a message came.
    assert kept.expires_at == math.inf


def _meta(routing_key: str, **headers: object) -> EventMeta:
    return EventMeta("m", "", "", None, None, 0, QUEUE, routing_key, headers=headers)


def test_a_message_that_is_tried_again_arrived_when_it_first_came() -> None:
    came = NOW - timedelta(minutes=3)
    first = _meta("telemetry.washer-1", timestamp_in_ms=int(came.timestamp() * 1000))
    # The broker stamps each copy with its own time.
    again = {"x-arrived-at": "2026-03-01T11:57:00Z", "timestamp_in_ms": int(NOW.timestamp() * 1000)}
    assert arrived_at(first, NOW) == arrived_at(_meta(QUEUE, **again), NOW) == came


def test_a_device_cannot_say_when_its_message_arrived() -> None:
    for headers in ({"x-arrived-at": "2020-01-01T00:00:00Z"}, {"timestamp_in_ms": "1"}):
        assert arrived_at(_meta("telemetry.washer-1", **headers), NOW) == NOW
    for said in (None, "yesterday", 5, "2099-01-01T00:00:00Z"):
        assert arrived_at(_meta(QUEUE, **{"x-arrived-at": said}), NOW) == NOW
