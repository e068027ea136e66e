"""One machine and what it just sent: which faults begin, end and ring. Pure rules, put together.

The rules of ``faults`` say what is open, those of ``clocks`` when it happened, those of ``damping`` when it
may ring. A fault rings at once if its report is the newest and fresh. One that came late, or from before what
is known, rings after a while in which nothing took it back: it may have been over for long.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from monitoring.alert_damping import BURST, Damping, Rules, begins, may_ring_at, rings
from monitoring.fault_rules import HEARTBEAT, MORE, Found, Key, Limit, Reading, State, observe, observe_code
from monitoring.timeline import Placed, Standing, Timeline, place

STEP = 10
"""A fault that counts rings again when it stands for so many times as many as at its last ring."""


@dataclass(frozen=True)
class Fault:
    """A fault of the machine.

    Attributes:
        recorded_at: when it happened by the machine's clock; none for silence.
        count: how many beginnings, or codes, it stands for.
        codes: the codes, if it stands for several.
        due_at: when it may ring; none once it has rung.
        rung_for: the count with which it last rang.
    """

    id: str
    found: Found
    detected_at: datetime
    recorded_at: datetime | None = None
    clock_off: bool = False
    count: int = 1
    codes: tuple[str, ...] = ()
    due_at: datetime | None = None
    rung_for: int = 0
    flapping: bool = False


@dataclass(frozen=True)
class Policy:
    """The figures that a machine is judged by.

    Attributes:
        settle: so long a fault that came late is held, for what may take it back.
        settle_at_most: it rings after this, however much more comes late.
    """

    limit_for: timedelta
    most_codes: int = 8
    settle: timedelta = timedelta(seconds=5)
    settle_at_most: timedelta = timedelta(seconds=60)
    damping: Rules = field(default_factory=Rules)


@dataclass(frozen=True)
class Look:
    """A sample, as far as it matters here."""

    recorded_at: datetime
    fault_code: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    clockless: bool = False


@dataclass
class Machine:
    """What is remembered of a machine; judging changes it.

    Attributes:
        faults: those that are open.
    """

    state: State = field(default_factory=State)
    timeline: Timeline = field(default_factory=Timeline)
    damping: Damping = field(default_factory=Damping)
    faults: dict[Key, Fault] = field(default_factory=dict)


@dataclass(frozen=True)
class Ring:
    """A fault to tell people of, and for how many troubles it stands."""

    fault: Fault
    count: int


@dataclass
class Outcome:
    """What judging came to.

    Attributes:
        placed: where each sample stands, in the order given.
        newest: the index of the newest sample, unless all lie before what was known.
        ended: faults that are over, by their ids, with the reason; also those that began just now.
    """

    placed: list[Placed] = field(default_factory=list)
    newest: int | None = None
    ended: dict[str, tuple[Fault, str]] = field(default_factory=dict)
    rung: list[Ring] = field(default_factory=list)


class Judging:
    """Judges one machine at one moment."""

    def __init__(self, machine: Machine, policy: Policy, now: datetime, new_id: Callable[[], str]) -> None:
        """Take what is remembered; ``now`` is when its samples arrived."""
        self.machine = machine
        self.outcome = Outcome()
        self._policy = policy
        self._now = now
        self._new_id = new_id
        self._past: dict[Key, Fault] = {}

    def take(self, looks: Sequence[Look], limits: Sequence[Limit]) -> Outcome:
        """Judge the samples of one delivery, in the order in which they happened.

        Of two at one moment the one with a code is the later: which was, nobody knows, and a fault is not
        to be lost.
        """
        placed: dict[int, Placed] = {}
        for index in sorted(range(len(looks)), key=lambda i: self._order(looks[i])):
            placed[index] = self._judge(looks[index], limits)
            if placed[index].standing is not Standing.BACK:
                self.outcome.newest = index
        self.outcome.placed = [placed[index] for index in range(len(looks))]
        self._ring([*self._past.values(), *self.machine.faults.values()])
        return self.outcome

    def silence(self) -> Outcome:
        """Make a fault of the machine's silence."""
        self.machine.state = replace(self.machine.state, open=self.machine.state.open | {HEARTBEAT})
        self._begin(Found(HEARTBEAT), None, None)
        return self.due()

    def due(self) -> Outcome:
        """Let those faults ring whose time has come."""
        self._ring(self.machine.faults.values())
        self.machine.state = replace(
            self.machine.state,
            unsure=frozenset(key for key, fault in self._open() if fault.due_at and key in self._unsure),
        )
        return self.outcome

    def end_all(self, by: str) -> Outcome:
        """End every fault, for a reason that no sample gives."""
        for key, _ in self._open():
            self._end(key, by)
        self.machine.state = State()
        return self.outcome

    @property
    def _unsure(self) -> frozenset[Key]:
        return self.machine.state.unsure

    def _open(self) -> list[tuple[Key, Fault]]:
        return list(self.machine.faults.items())

    def _order(self, look: Look) -> tuple[datetime, datetime, bool]:
        return min(look.recorded_at, self._now), look.recorded_at, look.fault_code is not None

    def _judge(self, look: Look, limits: Sequence[Limit]) -> Placed:
        machine, policy = self.machine, self._policy
        machine.timeline, placed = place(machine.timeline, look.recorded_at, self._now)
        if look.clockless:
            placed = replace(placed, clock_off=True)
        state = machine.state
        if placed.set_back:
            at = state.code_at and min(state.code_at, placed.happened_at)
            state = replace(state, code_at=at, broken_since={})
        reading = Reading(placed.happened_at, look.fault_code, look.metrics)
        if placed.standing is Standing.BACK:
            verdict = observe_code(state, reading, most_codes=policy.most_codes)
        else:
            verdict = observe(
                state, reading, limits, limit_for=policy.limit_for, most_codes=policy.most_codes
            )
        machine.state = verdict.state
        for key, by in verdict.cleared:
            self._end(key, by)
        for found in verdict.opened:
            self._begin(found, look, placed)
        self._repeated(look, placed, {found.key for found in verdict.opened})
        return placed

    def _begin(self, found: Found, look: Look | None, placed: Placed | None) -> None:
        machine, now, key = self.machine, self._now, found.key
        before = self._past.pop(key, None)
        if before is None:
            machine.damping, due, count = begins(machine.damping, _name(key), now)
        else:
            # It went and came within one delivery: one fault, told once.
            self.outcome.ended.pop(before.id, None)
            due, count = self._quiet_until(key), before.count + 1
        flaps = count > 1 or due > now
        if placed is not None and placed.standing is not Standing.CURRENT:
            due = max(due, now + self._policy.settle)
        if placed is not None and placed.standing is Standing.BACK:
            machine.state = replace(machine.state, unsure=machine.state.unsure | {key})
        machine.faults[key] = Fault(
            id=self._new_id() if before is None else before.id,
            found=found,
            detected_at=now,
            recorded_at=None if look is None or look.clockless else look.recorded_at,
            clock_off=placed is not None and placed.clock_off,
            count=count,
            codes=machine.state.more if key == MORE else (),
            due_at=due,
            flapping=flaps,
        )

    def _repeated(self, look: Look, placed: Placed, opened: set[Key]) -> None:
        """Note what a report adds to faults that are open: one more code, or that a late one is true."""
        machine = self.machine
        more = machine.faults.get(MORE)
        if more is not None and more.codes != machine.state.more:
            count = max(1, len(machine.state.more))
            due = more.due_at
            if due is None and count >= more.rung_for * STEP:
                due = self._now
            machine.faults[MORE] = replace(more, codes=machine.state.more, count=count, due_at=due)
        if look.fault_code is None:
            return
        key = Key("fault_code", look.fault_code)
        key = MORE if key not in machine.faults else key
        fault = machine.faults.get(key)
        if fault is None or key in opened:
            return
        if placed.standing is not Standing.BACK:
            machine.state = replace(machine.state, unsure=self._unsure - {key})
        if fault.due_at is None:
            return
        due = self._quiet_until(key)
        if placed.standing is not Standing.CURRENT:
            latest = fault.detected_at + self._policy.settle_at_most
            due = max(due, min(self._now + self._policy.settle, latest))
        machine.faults[key] = replace(fault, due_at=due)

    def _quiet_until(self, key: Key) -> datetime:
        quiet = self.machine.damping.quiet.get(_name(key))
        return self._now if quiet is None else max(self._now, quiet.until)

    def _end(self, key: Key, by: str) -> None:
        fault = self.machine.faults.pop(key)
        self.outcome.ended[fault.id] = (fault, by)
        if fault.detected_at != self._now:
            return
        if len(self._past) < self._policy.most_codes or key.cause != "fault_code":
            self._past[key] = fault
            return
        # A burst that is over already leaves a handful of rows, not one for each code.
        del self.outcome.ended[fault.id]
        whole = self._past.get(MORE)
        if whole is None:
            whole = replace(fault, found=Found(MORE, fault_code=fault.found.fault_code))
        codes = dict.fromkeys([*whole.codes, *fault.codes, fault.found.fault_code or ""])
        whole = replace(whole, codes=tuple(codes), count=len(codes))
        self._past[MORE] = whole
        self.outcome.ended[whole.id] = (whole, by)

    def _ring(self, faults: Iterable[Fault]) -> None:
        machine, now, rules = self.machine, self._now, self._policy.damping
        due = [fault for fault in faults if fault.due_at is not None and fault.due_at <= now]
        groups = [due] if len(due) > BURST else [[fault] for fault in due]
        for group in groups:
            may = may_ring_at(machine.damping, now, rules)
            if may > now:
                for fault in group:
                    self._keep(replace(fault, due_at=may))
                continue
            self.outcome.rung.append(Ring(group[0], sum(fault.count for fault in group)))
            machine.damping = rings(machine.damping, [_name(f.found.key) for f in group], now, rules)
            for fault in group:
                self._keep(replace(fault, due_at=None, rung_for=fault.count))

    def _keep(self, fault: Fault) -> None:
        """Put a changed fault where it was."""
        open_one = self.machine.faults.get(fault.found.key)
        if open_one is not None and open_one.id == fault.id:
            self.machine.faults[fault.found.key] = fault
        elif fault.id in self.outcome.ended:
            self.outcome.ended[fault.id] = (fault, self.outcome.ended[fault.id][1])


def _name(key: Key) -> str:
    return f"{key.cause}/{key.key}"
