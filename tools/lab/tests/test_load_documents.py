"""A run's JSON that somebody changed, and other input: it is taken, or it is said what is wrong with it."""

import copy
import io
import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from laundry_lab.load import patterns
from laundry_lab.load.comparing import Comparison
from laundry_lab.load.ownership import check_owned
from laundry_lab.load.page import comparison_page, run_page
from laundry_lab.load.printing import show, show_comparison
from laundry_lab.load.runs import Run
from laundry_servers.errors import LaundryError

from .test_load_report import made_up

ODD = [-1, 0, 1, 2, 10**6, 10**15, 10**400, 1e308, "\ud800", [], {}, [None], [[]], {"a": None}]
ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(ODD).map(copy.deepcopy)
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The JSON of a small run that has everything that a run may have."""
    run = made_up(["p95<=31ms", "failed<=0"])
    requests = run.requests
    for times in (requests.due_us, requests.arrived_us, requests.sent_us, requests.done_us, requests.outcome):
        del times[10:]
    run.plan |= {"photos": 19, "batch": 2}
    run.accepted, run.refused, run.drained_s, run.pending = 16, 1, 0.5, 2
    run.effects, run.samples = (run.effects or [])[:14], run.samples[:3]
    path = tmp_path_factory.mktemp("run") / "run.json"
    run.write(path)
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def places(document: Any) -> list[tuple[Any, Any]]:
    """Return every place in a document: what holds it, and its key or index."""
    keys: Any = document if isinstance(document, dict) else range(len(document))
    found: list[tuple[Any, Any]] = [(document, key) for key in keys]
    for _, key in list(found):
        if isinstance(document[key], dict | list):
            found += places(document[key])
    return found


def mangle(data: st.DataObject, document: dict[str, Any]) -> None:
    """Replace, remove or repeat something somewhere."""
    holder, key = data.draw(st.sampled_from(places(document)))
    what = data.draw(st.sampled_from(["replace", "remove", "repeat"]))
    if what == "remove":
        del holder[key]
    elif what == "repeat" and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    else:
        holder[key] = data.draw(ANYTHING)


def everything(file: Path) -> None:
    """Do with a run's file all that commands do."""
    run, console = Run.read(file), Console(file=io.StringIO())
    show(run, console)
    run_page(run).encode()
    both = Comparison(run, made_up(), ("one", "other"))
    show_comparison(both, console)
    comparison_page(both).encode()
    comparison_page(Comparison(made_up(), run, ("one", "other"))).encode()


@given(st.data())
def test_a_run_that_was_mangled_is_shown_and_compared_or_refused_by_name(
    good: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    document = copy.deepcopy(good)
    for _ in range(data.draw(st.integers(1, 2))):
        mangle(data, document)
    file = tmp_path_factory.getbasetemp() / "mangled.json"
    file.write_text(json.dumps(document))
    for act in (everything, patterns.recorded):
        try:
            act(file)
        except LaundryError as error:
            assert str(file) in str(error)


def test_the_run_that_is_mangled_is_a_good_one(good: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(good))
    everything(tmp_path / "run.json")
    assert len(patterns.recorded(tmp_path / "run.json")) == 19


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"plan": None}, "plan is None, not an object"),
        ({"plan.batch": ...}, "plan.batch is missing"),
        ({"plan.photos": 5}, "5 photos in batches of 2 are not the 10 requests"),
        ({"plan.seconds": "soon"}, "plan.seconds is 'soon', not a number"),
        ({"requests.done_us": [1]}, "requests.done_us has 1 entries, not 10"),
        ({"requests.due_us": [0] * 9 + [True]}, r"requests.due_us\[9\] is True, not a whole number"),
        ({"requests.outcome": [99] * 10}, r"requests.outcome\[0\] is 99, not a whole number from 0 to 4"),
        ({"marks": [[1.0]]}, r"marks\[0\] has 1 entries, not 2"),
        ({"samples": [{"at": 1, "memory_mb": {"helper": None}}]}, r"samples\[0\].memory_mb.helper is None"),
        (
            {"thresholds": [{"figure": "speed", "bound": 1, "at_most": True}]},
            r"thresholds\[0\].figure is 'speed': there is no such",
        ),
        ({"began_at": "yesterday"}, "began_at is no time"),
        ({"accepted": 10**9}, "accepted is 1000000000"),
    ],
)
def test_it_is_said_which_part_is_wrong(
    change: dict[str, Any], said: str, good: dict[str, Any], tmp_path: Path
) -> None:
    document = copy.deepcopy(good)
    for name, value in change.items():
        *parents, last = name.split(".")
        inside = document
        for parent in parents:
            inside = inside[parent]
        if value is ...:
            del inside[last]
        else:
            inside[last] = value
    file = tmp_path / "run.json"
    file.write_text(json.dumps(document))
    with pytest.raises(LaundryError, match=f"run.json is no run of `laundry load`: {said}"):
        Run.read(file)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", "null", "[" * 10**5, "{" + '"a":{' * 10**5),
        '{"plan": null, "requests": {"due_us": [1]}}',
        '{"requests": {"due_us": [1]}, "plan": {"photos": 1000000000000}}',
        '{"requests": {"due_us": [true]}}',
        '{"requests": {"due_us": []}}',
        *("nan", "1e300", "1e400", "0001-01-01", "1\n\x00"),
    ],
)
def test_what_holds_no_arrivals_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "recorded").write_text(text)
    with pytest.raises(LaundryError, match="arrivals"):
        patterns.recorded(tmp_path / "recorded")


@pytest.mark.parametrize("rate", [math.nan, math.inf, 0.0])
def test_a_number_of_arrivals_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(LaundryError, match="arrivals"):
        patterns.steady(rate, 1, seed=None)


@pytest.mark.parametrize(
    "url",
    ["http://[bad", "http://", "http://127.0.0.1:http", "http://127.0.0.1:99999", "http://127.0.0.1:0",
     "ftp://127.0.0.1", "file:///etc/passwd", "127.0.0.1:8001", "http:127.0.0.1"],
)  # fmt: skip
@pytest.mark.parametrize("owned", [True, False])
def test_an_address_that_is_none_is_refused(url: str, owned: bool) -> None:
    with pytest.raises(LaundryError, match="is no address"):
        check_owned(url, owned=owned)


@given(st.text(alphabet="ahtp:/[].@%0123456789#?\\ ü\x00\n", max_size=30))
def test_no_address_is_taken_for_this_machine_by_a_failure(text: str) -> None:
    with suppress(LaundryError):
        check_owned(f"http://[::1]{text}" if len(text) % 2 else text, owned=False)


def test_a_name_that_cannot_be_one_is_not_known() -> None:
    with pytest.raises(LaundryError, match="not known here"):
        check_owned(f"http://{'a' * 70}.example..", owned=False)
