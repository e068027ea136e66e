"""The rules of ``laundry learn``; the story itself is told on a running stack."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from laundry.commands import learn
from laundry.demo.client import StoryFailed
from laundry.learn import story as chapters
from laundry.learn.photos import LEAST, Shot, in_folders, of_household, split
from laundry.learn.picture import SIZE, draw
from laundry.learn.story import Learning, Report, check_reader, count_households, right, wrong_labels
from laundry_servers.errors import LaundryError

LABELS = ["dress", "pants", "shirt"]
KINDS = st.tuples(st.sampled_from(["7", "45", "125"]), st.sampled_from(LABELS))


def shots_of(kinds: Sequence[tuple[str, str]]) -> list[Shot]:
    return [
        Shot(f"{number}.jpg", label, str(number).encode(), household)
        for number, (household, label) in enumerate(kinds)
    ]


def task(label: str | None, version: str = "v1") -> dict[str, Any]:
    reading = None if label is None else {"labels": [{"label": label}], "model_version": version}
    return {"status": "read" if reading else "unreadable", "reading": reading}


def told(**changed: Any) -> Report:
    """A story in which everything went well, but for what is changed."""
    report = Report(
        photos_learnt=60,
        photos_further=30,
        corrected=20,
        further_before=20,
        further_after=24,
        champion_before="v1",
        champion_after="v2",
        run={"decision": {"promoted": True}},
        bad_run={"decision": {"promoted": False}},
        run_s=4.0,
        served_by_all_s=0.2,
        replicas=3,
        load_uploaded=50,
        load_read=50,
        load_s=5.0,
        households={"7": {"photos": 30, "before": 20, "after": 24}},
    )
    for name, value in changed.items():
        setattr(report, name, value)
    return report


@given(st.lists(KINDS, max_size=120))
def test_a_split_loses_and_doubles_nothing_and_is_always_the_same(kinds: list[tuple[str, str]]) -> None:
    shots = shots_of(kinds)
    learnt, further = split(shots)
    assert sorted(learnt + further, key=lambda shot: int(shot.body)) == shots
    assert split(shots) == (learnt, further)
    assert len(further) == len(shots) // 3


@given(st.lists(KINDS, max_size=120))
def test_a_third_of_each_class_of_each_household_is_further(kinds: list[tuple[str, str]]) -> None:
    _, further = split(shots_of(kinds))
    chosen = Counter((shot.household, shot.label) for shot in further)
    for kind, count in Counter(kinds).items():
        assert abs(chosen[kind] - count / 3) < 1, (kind, count)


def test_which_of_a_class_are_further_is_drawn_and_not_the_first() -> None:
    learnt, further = split(shots_of([("7", "dress")] * 60))
    numbers = [int(shot.body) for shot in further]
    assert numbers != sorted(numbers)
    assert {shot.body for shot in learnt} != {str(number).encode() for number in range(40)}


def store(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def test_folders_named_for_a_class_are_read_and_nothing_else(tmp_path: Path) -> None:
    wanted = [f"dress/{number:02}.jpg" for number in range(LEAST - 1)] + ["pants/last.WEBP"]
    store(tmp_path, *wanted, "hat/no-class.jpg", "dress/note.txt", "dress/deeper/one.jpg", "loose.jpg")
    shots = in_folders(tmp_path, LABELS)
    assert [f"{shot.label}/{shot.name}" for shot in shots] == wanted
    assert [shot.body for shot in shots] == [name.encode() for name in wanted]
    assert {shot.household for shot in shots} == {"1"}


@pytest.mark.parametrize("count", [0, LEAST - 1])
def test_too_few_photos_are_refused_with_how_many_and_what_folders_are_called(
    tmp_path: Path, count: int
) -> None:
    store(tmp_path, "hat/no-class.jpg", *(f"dress/{number}.png" for number in range(count)))
    with pytest.raises(LaundryError, match=rf"holds {count} photos .*dress, pants, shirt.*{LEAST} or more"):
        in_folders(tmp_path, LABELS)


def test_a_household_is_found_by_its_number_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    store(tmp_path, "clothing/images/a.jpg", "clothing/images/b.jpg", "clothing/images/c.jpg")
    (tmp_path / "clothing" / "photos.csv").write_text(
        "path,label,sender_id\nimages/a.jpg,dress,45\nimages/b.jpg,pants,7\nimages/c.jpg,hat,45\n"
    )
    assert of_household(tmp_path, "45", LABELS) == [Shot("a.jpg", "dress", b"clothing/images/a.jpg", "45")]
    with pytest.raises(LaundryError, match="no household 46"):
        of_household(tmp_path, "46", LABELS)


@given(st.lists(KINDS, max_size=60), st.lists(st.text(max_size=5), unique=True, max_size=5))
def test_who_does_not_look_is_never_right_and_always_wrong_alike(
    kinds: list[tuple[str, str]], more: list[str]
) -> None:
    shots, labels = shots_of(kinds), [*LABELS, *(each for each in more if each not in LABELS)]
    wrong = wrong_labels(shots, labels)
    assert len(wrong) == len(shots)
    assert all(label in labels and label != shot.label for label, shot in zip(wrong, shots, strict=True))
    assert wrong_labels(shots, labels) == wrong


def test_only_a_first_guess_that_is_what_the_photo_shows_counts_as_right() -> None:
    shots = shots_of([("7", "dress"), ("7", "pants"), ("7", "pants")])
    second = {"labels": [{"label": "shirt"}, {"label": "pants"}], "model_version": "v1"}
    assert right([task("dress"), {"reading": second}, task(None)], shots) == 1
    assert right([], []) == 0


def test_households_are_counted_apart_before_and_after() -> None:
    shots, report = shots_of([("7", "dress"), ("45", "pants"), ("45", "pants")]), Report()
    assert count_households(report, "before", [task("dress"), task("shirt"), task(None)], shots) == 1
    assert count_households(report, "after", [task("shirt"), task("pants"), task("pants")], shots) == 2
    assert report.households == {
        "7": {"photos": 1, "before": 1, "after": 0},
        "45": {"photos": 2, "before": 0, "after": 2},
    }


def test_a_reading_of_another_model_breaks_the_story_and_an_unreadable_photo_does_not() -> None:
    check_reader([task("dress"), task(None)], "v1")
    with pytest.raises(StoryFailed, match="v2, v3 read the photos, not v1"):
        check_reader([task("dress"), task("dress", "v3"), task("pants", "v2")], "v1")


async def test_the_load_never_sends_a_photo_twice_and_counts_who_read_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chapters, "LOAD_EVERY_S", 0)
    sent, stop = [], asyncio.Event()

    class Teller(Learning):
        def __init__(self) -> None:
            self.report, self.load = Report(), "load"

        async def _upload(self, name: str, body: bytes, branch: str) -> dict[str, Any]:
            sent.append(body)
            if len(sent) == 12:
                stop.set()
            return task("pants", "v1" if len(sent) < 9 else "v2") if len(sent) > 1 else task(None)

        async def _outcome(self, task: dict[str, Any], advance: Any = None) -> dict[str, Any]:
            return task

    teller = Teller()
    await teller.keep_uploading(stop)
    assert len(set(sent)) == 12
    assert (teller.report.load_uploaded, teller.report.load_read) == (12, 11)
    assert teller.report.load_models == {"v1": 7, "v2": 4}
    assert teller.report.load_s > 0


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({}, id="one household"),
        pytest.param(
            {"households": {name: {"photos": 10, "before": 7, "after": 8} for name in ("7", "45", "125")}},
            id="several households",
        ),
        pytest.param(
            {
                "run": {"decision": {"promoted": False}},
                "champion_after": "",
                "further_after": 0,
                "replicas": 0,
            },
            id="nothing promoted",
        ),
        pytest.param({"bad_run": {"decision": {"promoted": True}}}, id="careless labels took over"),
        pytest.param(
            {"bad_run": {}, "photos_further": 0, "further_before": 0, "further_after": 0}, id="none"
        ),
    ],
)
def test_the_picture_is_drawn_whatever_came_of_the_story(tmp_path: Path, changed: dict[str, Any]) -> None:
    draw(told(**changed), tmp_path / "build" / "learn.png")
    with Image.open(tmp_path / "build" / "learn.png") as picture:
        picture.load()
        assert (picture.format, picture.size) == ("PNG", SIZE)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Console:
    console = Console(record=True, width=100)
    monkeypatch.setattr(learn, "out", console)
    monkeypatch.setattr(learn, "BUILD", tmp_path / "build")
    return console


def finish(report: Report) -> bool:
    return learn._finish(cast(Learning, SimpleNamespace(report=report)))


def test_a_story_that_went_well_is_told_as_such_and_kept(shown: Console, tmp_path: Path) -> None:
    assert finish(told(rolled_back_to="v1"))
    text = shown.export_text()
    assert "✗" not in text
    assert "20 → 24 of 30" in text
    assert "50 of 50 read, 10 a second" in text
    kept = json.loads((tmp_path / "build" / "learn.json").read_text())
    assert (kept["further_after"], kept["rolled_back_to"]) == (24, "v1")
    assert (tmp_path / "build" / "learn.png").is_file()


@pytest.mark.parametrize(
    ("changed", "row"),
    [
        pytest.param({"further_after": 20}, "further photos read right", id="read no better"),
        pytest.param({"further_after": 19}, "further photos read right", id="read worse"),
        pytest.param({"bad_run": {"decision": {"promoted": True}}}, "careless labels", id="bad labels won"),
        pytest.param({"served_by_all_s": 10.1}, "all replicas serve it", id="a replica was late"),
        pytest.param({"load_read": 49}, "photos under load", id="a photo was not read"),
        pytest.param({"load_read": 0, "load_uploaded": 0}, "photos under load", id="no load"),
    ],
)
def test_whatever_went_wrong_gets_a_cross_of_its_own_and_fails_the_command(
    shown: Console, changed: dict[str, Any], row: str
) -> None:
    assert not finish(told(**changed))
    crossed = [line for line in shown.export_text().splitlines() if "✗" in line]
    assert len(crossed) == 1
    assert row in crossed[0]


def test_a_story_in_which_no_model_took_over_says_so_and_fails(shown: Console) -> None:
    report = told(run={"decision": {"promoted": False}}, champion_after="", further_after=0, load_s=0.0)
    assert not finish(report)
    assert "no model took over" in shown.export_text()
