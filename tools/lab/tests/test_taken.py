"""What ends late is told as late, however many others ended before it."""

from unittest.mock import Mock

from laundry_lab.bench.taken import Taken
from laundry_lab.bench.timed_event import timed_event
from laundry_lab.load.draining import handled


def test_each_end_belongs_to_its_own_event_and_what_never_ended_has_no_effect() -> None:
    told: list[bool] = []
    taken = Taken(3, lambda: told.append(True))
    places = {
        name: taken.begin(timed_event(100, 0), Mock(id=name, attempt=1))
        for name in ("slow", "failing", "quick", "third")
    }
    taken.finish([places["quick"]])
    quick = taken.ended[places["quick"]]
    taken.finish([places["third"]])
    assert (taken.ended[places["slow"]], taken.ended[places["failing"]], told) == (0, 0, [])
    taken.finish([places["slow"]])
    assert taken.ended[places["slow"]] > quick == taken.ended[places["quick"]]
    assert told == [True]
    effects = handled([{"seen": taken.seen, "ended": taken.ended}], 0.0)
    assert effects.keys() == {"slow", "quick", "third"}
    assert effects["slow"][1] > effects["quick"][1]
