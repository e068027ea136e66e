"""What begins, ends and alerts people, over any order, repetition and clock of a machine's samples."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.alert_damping import DampingPolicy
from monitoring.fault_detection import FaultDetector
from monitoring.fault_rules import HEARTBEAT, OVERFLOW, FaultKey
from monitoring.machine import DetectionPolicy, MachineState, Outcome, Report

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = DetectionPolicy(limit_for=timedelta(seconds=30))
HOUR = timedelta(hours=1)
CODES = st.sampled_from([None, None, "E1", "E2", *(f"E{n}" for n in range(3, 15))])
GAPS = st.one_of(st.floats(min_value=0, max_value=5), st.floats(min_value=0, max_value=4000))
SHIFTS = st.one_of(
    st.just(0.0),
    st.floats(min_value=-400, max_value=400),
    st.floats(min_value=-10_000_000, max_value=10_000_000),
)


class Bench:
    """A machine, its fault detector and a clock."""

    def __init__(self, policy: DetectionPolicy = POLICY) -> None:
        self.machine, self.policy, self.now = MachineState(), policy, START
        self.alerts: list[tuple[datetime, str, int]] = []
        self.ended: list[tuple[str, str]] = []
        self._ids: Iterator[int] = count(1)

    def at(self, seconds: float) -> datetime:
        return self.now + timedelta(seconds=seconds)

    def _detector(self) -> FaultDetector:
        return FaultDetector(self.machine, self.policy, self.now, lambda: str(next(self._ids)))

    def _note(self, outcome: Outcome) -> Outcome:
        self.alerts += [(self.now, alert.fault.id, alert.count) for alert in outcome.alerts]
        self.ended += [(ended.fault.details.key.key, ended.reason) for ended in outcome.ended.values()]
        assert set(self.machine.faults) == self.machine.fault_state.open
        assert self.machine.fault_state.unconfirmed <= self.machine.fault_state.open
        return outcome

    def take(self, *reports: Report) -> Outcome:
        return self._note(self._detector().take(reports, []))

    def say(self, code: str | None, shift: float = 0) -> Outcome:
        return self.take(Report(self.at(shift), code))

    def wait(self, seconds: float) -> None:
        self.now = self.at(seconds)
        self._note(self._detector().alert_due())

    def is_open(self, code: str) -> bool:
        return (
            FaultKey("fault_code", code) in self.machine.faults
            or code in self.machine.fault_state.overflow_codes
        )

    @property
    def open(self) -> set[str]:
        return {key.key for key in self.machine.faults}


Step = tuple[float, str | None, float]
STEPS = st.lists(st.tuples(GAPS, CODES, SHIFTS), max_size=60)


@given(STEPS)
def test_a_code_that_the_last_sample_reports_is_open_whatever_its_clock_says(steps: list[Step]) -> None:
    bench = Bench()
    for gap, code, shift in steps:
        bench.wait(gap)
        bench.say(code, shift)
        assert code is None or bench.is_open(code)


@given(STEPS)
def test_a_machine_rings_a_bounded_number_of_times_in_any_hour(steps: list[Step]) -> None:
    bench = Bench()
    for gap, code, shift in steps:
        bench.wait(min(gap, 120))
        bench.say(code, shift)
    times = [at for at, _, _ in bench.alerts]
    for at in times:
        assert sum(at <= other < at + HOUR for other in times) <= POLICY.damping.max_alerts_an_hour
    # A fault rings once; only one that counts rings again, when it stands for many more.
    counted: dict[str, int] = {}
    for _, fault_id, number in bench.alerts:
        assert number >= 10 * counted.get(fault_id, 0)
        counted[fault_id] = number


@given(STEPS)
def test_a_new_code_of_a_calm_machine_rings_at_once(steps: list[Step]) -> None:
    bench = Bench()
    for gap, code, shift in steps:
        bench.wait(gap)
        bench.say(code, shift)
    bench.wait(24 * 3600)
    bench.say(None)
    bench.wait(24 * 3600)
    assert not bench.open
    assert len(bench.say("NEW").alerts) == 1


@given(st.lists(st.tuples(st.floats(min_value=0.1, max_value=60), CODES), max_size=40))
def test_with_a_right_clock_and_in_order_the_first_of_each_code_rings_at_once(
    steps: list[tuple[float, str | None]],
) -> None:
    bench = Bench(
        DetectionPolicy(limit_for=timedelta(0), damping=DampingPolicy(quiet=timedelta(0), max_alerts=1000))
    )
    for gap, code in steps:
        bench.wait(gap)
        known = code is None or bench.is_open(code) or OVERFLOW in bench.machine.faults
        alerts = bench.say(code).alerts
        assert len(alerts) == (0 if known else 1)
        assert code is not None or not bench.open


BACKLOG = st.lists(CODES, min_size=2, max_size=30)


@given(st.data(), BACKLOG)
def test_a_backlog_in_any_order_rings_only_what_is_true_at_its_end(
    data: st.DataObject, codes: list[str | None]
) -> None:
    bench = Bench()
    reports = [Report(bench.at(-3600 + 10 * n), code) for n, code in enumerate(codes)]
    order = data.draw(st.permutations(reports))
    deliveries = data.draw(st.lists(st.integers(min_value=1, max_value=9), min_size=1))
    while order:
        size = deliveries.pop() if deliveries else 1
        last, order = order[:size], order[size:]
        bench.take(*last)
        bench.wait(0.01)
    assert not bench.alerts
    if codes[-1] is not None:
        assert bench.is_open(codes[-1])
    elif max(last, key=lambda report: report.recorded_at).fault_code is None:
        assert not bench.open
    was_open = bench.open
    bench.wait(60)
    assert bool(bench.alerts) == bool(was_open)


def test_what_was_set_back_counts_as_its_time_after_a_minute() -> None:
    bench = Bench()
    bench.say(None)
    bench.say("E1", -7200)
    assert not bench.alerts
    bench.wait(6)
    assert len(bench.alerts) == 1
    bench.say(None, -7300)
    # Rung, it is no longer ended by what may merely have come late ...
    assert bench.open == {"E1"}
    for _ in range(8):
        bench.wait(10)
        bench.say(None, -7200)
    # ... but the clock goes on from where it was set.
    assert not bench.open
    assert len(bench.say("E2", -7200).ended) == 0
    assert bench.is_open("E2")


def test_a_corrected_clock_is_believed_at_once() -> None:
    bench = Bench()
    bench.say(None, 240)
    bench.wait(1)
    assert len(bench.say("E1").alerts) == 1
    bench.wait(1)
    bench.say("E2", 2 * 3600)
    bench.wait(1)
    bench.say(None)
    assert not bench.open


def test_a_late_code_that_is_true_now_rings_at_once() -> None:
    bench = Bench()
    bench.say("E1", -600)
    assert not bench.alerts
    assert len(bench.say("E1").alerts) == 1


def test_a_fault_that_goes_on_coming_late_rings_after_a_minute_at_most() -> None:
    bench = Bench()
    for second in range(0, 80, 2):
        bench.say("E1", -3600 + second)
        bench.wait(2)
    assert len(bench.alerts) == 1
    assert (bench.alerts[0][0] - START).total_seconds() <= 66


def test_flapping_rings_once_and_less_and_less_often() -> None:
    bench = Bench()
    for _ in range(3600):
        bench.say("E1")
        bench.wait(1)
        bench.say(None)
        bench.wait(1)
    seconds = [(at - START).total_seconds() for at, _, _ in bench.alerts]
    assert len(seconds) == 7
    gaps = [later - earlier for earlier, later in pairwise(seconds)]
    assert all(later >= 1.9 * earlier for earlier, later in pairwise(gaps))
    assert sum(number for _, _, number in bench.alerts) > 1500


def test_a_flapping_fault_that_stays_rings_when_its_quiet_time_ends() -> None:
    bench = Bench()
    bench.say("E1")
    for _ in range(3):
        bench.wait(1)
        bench.say(None)
        bench.wait(1)
        bench.say("E1")
    [fault] = bench.machine.faults.values()
    assert fault.flapping
    bench.wait(55)
    assert [number for _, _, number in bench.alerts] == [1, 3]


@pytest.mark.parametrize("apart", [0.0, 0.05])
def test_a_burst_of_codes_is_one_ring_or_a_few(apart: float) -> None:
    bench = Bench()
    if apart:
        for n in range(500):
            bench.say(f"E{n}")
            bench.wait(apart)
        bench.wait(900)
        assert len(bench.alerts) <= 11
    else:
        bench.take(*(Report(bench.at(-n / 1000), f"E{n}") for n in range(500)))
        assert [number for _, _, number in bench.alerts] == [500]
    assert len(bench.machine.faults) == 9
    bench.say(None)
    assert not bench.open and not bench.machine.fault_state.overflow_codes


def test_a_burst_that_is_over_at_once_leaves_a_handful_of_faults() -> None:
    bench = Bench()
    reports = [Report(bench.at(-500 + n), None if n % 2 else f"E{n}") for n in range(500)]
    outcome = bench.take(*reports)
    assert len(outcome.ended) == POLICY.max_codes + 1
    assert sum(ended.fault.count for ended in outcome.ended.values()) == 250
    assert len(bench.alerts) <= 1
    assert not bench.open


def test_silence_is_told_like_any_fault_and_ends_with_any_sample() -> None:
    bench = Bench()
    bench.say(None)
    bench.wait(200)
    bench._note(bench._detector().mark_silent())
    assert len(bench.alerts) == 1
    assert HEARTBEAT in bench.machine.faults
    bench.say(None, -7200)
    assert not bench.open
