"""What is lost is told though something always waits, and what waits is not."""

from laundry.history.doubts import Doubts
from laundry.history.effects import Effects, State

LOST, BUSY, NEXT = ("task.read", "lost"), ("task.read", "busy"), ("task.read", "next")


def seen(states: dict[tuple[str, str], State], *excused: tuple[str, str]) -> Effects:
    return Effects({**states, **dict.fromkeys(excused, "waits")}, excused=set(excused))


def test_what_is_excused_by_what_waits_is_lost_once_nothing_waits_twice() -> None:
    doubts = Doubts(seen({}, LOST))
    assert doubts.places == {LOST}
    for look in (seen({}, LOST), seen({LOST: "unhandled"}), seen({}, LOST)):
        doubts.look(look)
        assert doubts.places == {LOST}
    doubts.look(seen({LOST: "unhandled"}))
    assert not doubts.places
    assert doubts.settle().unhandled == {LOST}


def test_what_is_handled_meanwhile_is_no_doubt_any_more() -> None:
    doubts = Doubts(seen({LOST: "unhandled", BUSY: "unhandled"}, NEXT))
    doubts.look(seen({LOST: "unhandled", BUSY: "done", NEXT: "dead"}))
    assert not doubts.places
    settled = doubts.settle()
    assert settled.unhandled == {LOST}
    assert (settled.states[BUSY], settled.states[NEXT]) == ("done", "dead")


def test_what_waits_at_every_look_still_waits() -> None:
    doubts = Doubts(seen({}, BUSY))
    for _ in range(5):
        doubts.look(seen({}, BUSY))
    assert doubts.places == {BUSY}
    assert doubts.settle().states == {BUSY: "waits"}


def test_one_look_without_an_excuse_is_not_enough() -> None:
    doubts = Doubts(seen({BUSY: "unhandled"}))
    doubts.look(seen({}, BUSY))
    assert doubts.settle().states == {BUSY: "waits"}


def test_what_is_sure_stays_so_while_others_are_looked_at() -> None:
    doubts = Doubts(seen({LOST: "unhandled"}, BUSY))
    doubts.look(seen({LOST: "unhandled"}, BUSY))
    assert doubts.places == {BUSY}
    # It is not looked at any more.
    doubts.look(seen({}, BUSY))
    doubts.look(seen({BUSY: "done"}))
    settled = doubts.settle()
    assert settled.unhandled == {LOST}
    assert settled.states[BUSY] == "done"


def test_what_cannot_be_told_at_one_look_is_looked_at_again() -> None:
    doubts = Doubts(Effects({LOST: "unknown", BUSY: "unknown", NEXT: "unknown"}, excused={LOST, BUSY, NEXT}))
    doubts.look(Effects({LOST: "unhandled", BUSY: "dead", NEXT: "unknown"}, excused={NEXT}))
    assert doubts.places == {LOST, NEXT}
    doubts.look(Effects({LOST: "unhandled", NEXT: "unknown"}, excused={NEXT}))
    settled = doubts.settle()
    assert settled.states == {LOST: "unhandled", BUSY: "dead", NEXT: "unknown"}
