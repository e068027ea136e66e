"""One machine and what it just sent: which faults begin, end and alert people. Pure rules, put together.

``fault_rules`` says what is open, ``timeline`` when it happened and ``alert_damping`` when it may alert. A
fault alerts at once if its report is the newest and fresh. One that came late or out of order alerts after a
while in which nothing took it back: it may have been over for long.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from monitoring.alert_damping import MAX_SINGLE_ALERTS, next_alert_at, plan_alert, spend_alert
from monitoring.fault_rules import (
    HEARTBEAT,
    OVERFLOW,
    FaultDetails,
    FaultKey,
    Limit,
    Observation,
    evaluate,
    evaluate_code,
)
from monitoring.machine import Alert, DetectionPolicy, EndedFault, Fault, MachineState, Outcome, Report
from monitoring.timeline import Order, SampleTime, place_sample

REPEAT_FACTOR = 10
"""A fault that counts alerts again once it stands for so many times as many as at its last alert."""


class FaultDetector:
    """Detects the faults of one machine at one moment."""

    def __init__(
        self, machine: MachineState, policy: DetectionPolicy, now: datetime, new_id: Callable[[], str]
    ) -> None:
        """Start from what is remembered; ``now`` is when the machine's samples arrived."""
        self.machine = machine
        self.outcome = Outcome()
        self._policy = policy
        self._now = now
        self._new_id = new_id
        # Faults that began and ended at this very moment.
        self._brief: dict[FaultKey, Fault] = {}

    def take(self, reports: Sequence[Report], limits: Sequence[Limit]) -> Outcome:
        """Evaluate the samples of one delivery, in the order in which they happened.

        Of two samples with the same time the one with a code counts as the later: their order is unknown,
        and a fault must not be lost.
        """
        times: dict[int, SampleTime] = {}
        for index in sorted(range(len(reports)), key=lambda i: self._order(reports[i])):
            times[index] = self._evaluate(reports[index], limits)
            if times[index].order is not Order.OUT_OF_ORDER:
                self.outcome.newest = index
        self.outcome.sample_times = [times[index] for index in range(len(reports))]
        self._alert([*self._brief.values(), *self.machine.faults.values()])
        return self.outcome

    def mark_silent(self) -> Outcome:
        """Make a fault of the machine's silence."""
        state = self.machine.fault_state
        self.machine.fault_state = replace(state, open=state.open | {HEARTBEAT})
        self._begin(FaultDetails(HEARTBEAT), None, None)
        return self.alert_due()

    def alert_due(self) -> Outcome:
        """Alert people of the faults whose time has come."""
        self._alert(self.machine.faults.values())
        state = self.machine.fault_state
        held = {key for key, fault in self.machine.faults.items() if fault.alert_due_at}
        self.machine.fault_state = replace(state, unconfirmed=state.unconfirmed & held)
        return self.outcome

    def _order(self, report: Report) -> tuple[datetime, datetime, bool]:
        return min(report.recorded_at, self._now), report.recorded_at, report.fault_code is not None

    def _evaluate(self, report: Report, limits: Sequence[Limit]) -> SampleTime:
        machine, policy = self.machine, self._policy
        machine.timeline, time = place_sample(machine.timeline, report.recorded_at, self._now)
        if report.clock_unreadable:
            time = replace(time, clock_off=True)
        state = machine.fault_state
        if time.clock_set_back:
            at = state.code_at and min(state.code_at, time.happened_at)
            state = replace(state, code_at=at, broken_since={})
        observed = Observation(time.happened_at, report.fault_code, report.metrics)
        if time.order is Order.OUT_OF_ORDER:
            transition = evaluate_code(state, observed, max_codes=policy.max_codes)
        else:
            transition = evaluate(
                state, observed, limits, limit_for=policy.limit_for, max_codes=policy.max_codes
            )
        machine.fault_state = transition.state
        for clearing in transition.cleared:
            self._end(clearing.key, clearing.reason)
        for details in transition.opened:
            self._begin(details, report, time)
        self._note_repetition(report, time, {details.key for details in transition.opened})
        return time

    def _begin(self, details: FaultDetails, report: Report | None, time: SampleTime | None) -> None:
        machine, now, key = self.machine, self._now, details.key
        before = self._brief.pop(key, None)
        if before is None:
            machine.damping, plan = plan_alert(machine.damping, str(key), now)
            due_at, count = plan.due_at, plan.count
        else:
            # It ended and began again within one delivery: one fault, alerted once.
            self.outcome.ended.pop(before.id, None)
            due_at, count = self._quiet_until(key), before.count + 1
        flapping = count > 1 or due_at > now
        if time is not None and time.order is not Order.CURRENT:
            due_at = max(due_at, now + self._policy.late_hold)
        if time is not None and time.order is Order.OUT_OF_ORDER:
            state = machine.fault_state
            machine.fault_state = replace(state, unconfirmed=state.unconfirmed | {key})
        machine.faults[key] = Fault(
            id=self._new_id() if before is None else before.id,
            details=details,
            detected_at=now,
            recorded_at=None if report is None or report.clock_unreadable else report.recorded_at,
            clock_off=time is not None and time.clock_off,
            count=count,
            codes=machine.fault_state.overflow_codes if key == OVERFLOW else (),
            alert_due_at=due_at,
            flapping=flapping,
        )

    def _note_repetition(self, report: Report, time: SampleTime, opened: set[FaultKey]) -> None:
        """Note what a report adds to open faults: one more code, or that a late one is true."""
        machine = self.machine
        self._count_overflow()
        if report.fault_code is None:
            return
        key = FaultKey("fault_code", report.fault_code)
        key = OVERFLOW if key not in machine.faults else key
        fault = machine.faults.get(key)
        if fault is None or key in opened:
            return
        if time.order is not Order.OUT_OF_ORDER:
            state = machine.fault_state
            machine.fault_state = replace(state, unconfirmed=state.unconfirmed - {key})
        if fault.alert_due_at is None:
            return
        due_at = self._quiet_until(key)
        if time.order is not Order.CURRENT:
            latest = fault.detected_at + self._policy.longest_late_hold
            due_at = max(due_at, min(self._now + self._policy.late_hold, latest))
        machine.faults[key] = replace(fault, alert_due_at=due_at)

    def _count_overflow(self) -> None:
        overflow, codes = self.machine.faults.get(OVERFLOW), self.machine.fault_state.overflow_codes
        if overflow is None or overflow.codes == codes:
            return
        count = max(1, len(codes))
        due_at = overflow.alert_due_at
        if due_at is None and count >= overflow.alerted_count * REPEAT_FACTOR:
            due_at = self._now
        self.machine.faults[OVERFLOW] = replace(overflow, codes=codes, count=count, alert_due_at=due_at)

    def _quiet_until(self, key: FaultKey) -> datetime:
        quiet = self.machine.damping.quiet.get(str(key))
        return self._now if quiet is None else max(self._now, quiet.until)

    def _end(self, key: FaultKey, reason: str) -> None:
        fault = self.machine.faults.pop(key)
        if fault.detected_at == self._now:
            if key.cause == "fault_code" and len(self._brief) >= self._policy.max_codes:
                self._merge_brief(fault, reason)
                return
            self._brief[key] = fault
        self.outcome.ended[fault.id] = EndedFault(fault, reason)

    def _merge_brief(self, fault: Fault, reason: str) -> None:
        """Keep a handful of rows of a burst that is over already, not one for each code."""
        code = fault.details.fault_code
        overflow = self._brief.get(OVERFLOW)
        if overflow is None:
            overflow = replace(fault, details=FaultDetails(OVERFLOW, fault_code=code))
        codes = dict.fromkeys([*overflow.codes, *fault.codes, code or ""])
        overflow = replace(overflow, codes=tuple(codes), count=len(codes))
        self._brief[OVERFLOW] = overflow
        self.outcome.ended[overflow.id] = EndedFault(overflow, reason)

    def _alert(self, faults: Iterable[Fault]) -> None:
        machine, now, policy = self.machine, self._now, self._policy.damping
        due = [fault for fault in faults if fault.alert_due_at is not None and fault.alert_due_at <= now]
        groups = [due] if len(due) > MAX_SINGLE_ALERTS else [[fault] for fault in due]
        for group in groups:
            allowed_at = next_alert_at(machine.damping, now, policy)
            if allowed_at > now:
                for fault in group:
                    self._replace(replace(fault, alert_due_at=allowed_at))
                continue
            self.outcome.alerts.append(Alert(group[0], sum(fault.count for fault in group)))
            names = [str(fault.details.key) for fault in group]
            machine.damping = spend_alert(machine.damping, names, now, policy)
            for fault in group:
                self._replace(replace(fault, alert_due_at=None, alerted_count=fault.count))

    def _replace(self, fault: Fault) -> None:
        """Replace a fault by its changed version."""
        open_one = self.machine.faults.get(fault.details.key)
        if open_one is not None and open_one.id == fault.id:
            self.machine.faults[fault.details.key] = fault
        elif fault.id in self.outcome.ended:
            self.outcome.ended[fault.id] = replace(self.outcome.ended[fault.id], fault=fault)
