"""How faults become alerts: a model of one phone, driven by any faults at any times."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from notification.alert_grouping import (
    JOIN_WITHIN,
    MAX_DURATION,
    MAX_NAMES_BYTES,
    MINUTE,
    SOUNDS_A_MINUTE,
    UPDATE_INTERVALS,
    AlertGroup,
    GroupedFault,
    group_for,
    summarise,
)

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE_PUSH = timedelta(milliseconds=20)
PUSHES_A_MINUTE = 16


def a_fault(
    number: int, *, equipment: str = "washer-1", count: int = 1, waiting: bool = True
) -> GroupedFault:
    moment = START + timedelta(seconds=number)
    return GroupedFault(f"n{number}", f"e{number}", equipment, "washer", moment, count, waiting)


@dataclass
class Shown:
    """One push: when, and what it said."""

    at: datetime
    branch: str
    tag: str
    faults: int
    told: list[str]
    rang: bool


@dataclass
class Phone:
    """What the sender does with one phone, by the rules alone."""

    groups: dict[str, AlertGroup] = field(default_factory=dict)
    waiting: dict[str, list[GroupedFault]] = field(default_factory=lambda: defaultdict(list))
    counted: dict[str, list[GroupedFault]] = field(default_factory=lambda: defaultdict(list))
    rang: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    pushes: list[Shown] = field(default_factory=list)

    def due(self, branch: str, since: datetime) -> datetime:
        group = self.groups.get(branch)
        quiet = None if group is None else group.next_update_at()
        return since if quiet is None else max(since, quiet)

    def push(self, branch: str, now: datetime) -> None:
        told = self.waiting.pop(branch)
        group = group_for(self.groups.get(branch), tag=f"{branch} {told[0].event_id}", now=now)
        ringing = group.makes_sound(
            now,
            of_branch=self.rang[branch],
            of_phone=[each for times in self.rang.values() for each in times],
        )
        of = self.counted[group.tag]
        of[:] = [replace(each, waiting=False) for each in of] + told
        says = summarise(of)
        names = [each.event_id for each in told]
        self.pushes.append(Shown(now, branch, group.tag, says.faults, names, ringing))
        if ringing:
            self.rang[branch].append(now)
        self.groups[branch] = group.after_push(now)


def play(arrivals: list[tuple[float, str, int]]) -> tuple[Phone, dict[str, datetime]]:
    """Let faults (seconds, branch, count) come, and push whatever is due, one push at a time."""
    phone = Phone()
    came: dict[str, datetime] = {}
    coming = sorted(arrivals)
    now = START
    number = 0
    while coming or phone.waiting:
        due = [
            (phone.due(branch, came[waiting[0].event_id]), branch)
            for branch, waiting in phone.waiting.items()
        ]
        arrives = START + timedelta(seconds=coming[0][0]) if coming else None
        first_due = min(due) if due else None
        if arrives is not None and (first_due is None or arrives <= max(first_due[0], now)):
            _, branch, count = coming.pop(0)
            now = max(now, arrives)
            fault = a_fault(number, equipment=f"w{number % 7}", count=count)
            came[fault.event_id] = arrives
            phone.waiting[branch].append(fault)
            number += 1
        elif first_due is not None:
            now = max(now, first_due[0])
            phone.push(first_due[1], now)
            now += ONE_PUSH
    return phone, came


TIMES = st.one_of(st.floats(0, 5), st.floats(0, 300), st.floats(0, 1500))
ARRIVALS = st.lists(
    st.tuples(TIMES, st.sampled_from(["b1", "b2", "b3"]), st.integers(1, 4)), min_size=1, max_size=120
)


@given(ARRIVALS)
def test_every_fault_is_told_once_and_soon(arrivals: list[tuple[float, str, int]]) -> None:
    phone, came = play(arrivals)
    told = {event: push.at for push in phone.pushes for event in push.told}
    assert sorted(event for push in phone.pushes for event in push.told) == sorted(came)
    assert max(told[event] - came[event] for event in came) <= UPDATE_INTERVALS[-1] + 10 * ONE_PUSH


@given(ARRIVALS)
def test_the_last_alerts_say_the_true_number(arrivals: list[tuple[float, str, int]]) -> None:
    phone, _ = play(arrivals)
    last = {push.tag: push.faults for push in phone.pushes}
    assert sum(last.values()) == sum(count for _, _, count in arrivals)


@given(ARRIVALS)
def test_a_lone_fault_rings_at_once(arrivals: list[tuple[float, str, int]]) -> None:
    phone, came = play(arrivals)
    for push in phone.pushes:
        before = [each for each in phone.pushes if each.at < push.at and push.at - each.at <= MAX_DURATION]
        if not before:
            assert push.rang
        if not [each for each in before if each.branch == push.branch and push.at - each.at < JOIN_WITHIN]:
            assert push.at - came[push.told[0]] <= 10 * ONE_PUSH


@given(ARRIVALS)
def test_a_phone_is_not_drowned(arrivals: list[tuple[float, str, int]]) -> None:
    phone, _ = play(arrivals)
    for push in phone.pushes:
        minute = [each for each in phone.pushes if timedelta() <= each.at - push.at < MINUTE]
        assert sum(each.rang for each in minute) <= SOUNDS_A_MINUTE
        for branch in {each.branch for each in minute}:
            assert sum(each.branch == branch for each in minute) <= PUSHES_A_MINUTE


def test_each_branch_has_an_alert_of_its_own() -> None:
    phone, _ = play([(0, "b1", 1), (0.1, "b1", 1), (0.2, "b2", 1), (0.3, "b1", 1)])
    assert [(push.branch, push.faults, push.rang) for push in phone.pushes] == [
        ("b1", 1, True),
        ("b2", 1, True),
        ("b1", 3, False),
    ]
    assert len({push.tag for push in phone.pushes}) == 2


def test_a_thousand_machines_that_flap_twice_are_a_handful_of_pushes() -> None:
    phone, _ = play([(10 * n / 1000, "b1", 1) for n in range(1000)] * 2)
    assert len(phone.pushes) <= 6
    assert phone.pushes[-1].faults == 2000
    assert phone.pushes[0].rang


def test_an_alert_that_was_never_shown_keeps_its_tag_however_long_it_takes() -> None:
    group = AlertGroup("first", START)
    assert group_for(group, tag="second", now=START + timedelta(hours=1)) is group


@given(st.lists(st.text("abc가", min_size=1, max_size=80), min_size=1, max_size=60))
def test_names_are_listed_as_far_as_there_is_room(names: list[str]) -> None:
    of = summarise([a_fault(number, equipment=name) for number, name in enumerate(names)])
    assert len(of.listed.encode()) <= MAX_NAMES_BYTES
    assert of.names[0] == names[-1]
    assert set(of.names) == set(names)
    assert ",".join(of.names).startswith(of.listed)


def test_what_the_phone_has_not_heard_of_is_named_first() -> None:
    faults = [
        a_fault(1, equipment="new-1"),
        a_fault(2, equipment="old", waiting=False),
        a_fault(3, equipment="new-2"),
    ]
    assert summarise(faults).names == ("new-2", "new-1", "old")
