"""Which measures ``--only`` names."""

import pytest

from laundry_lab.bench.scale.measure import parts
from laundry_lab.commands import bench
from laundry_lab.commands.measuring import selected
from laundry_servers.errors import LaundryError


def test_measures_run_in_their_own_order_and_all_of_them_if_none_is_named() -> None:
    assert selected(["c", "a"], ["a", "b", "c"]) == ["a", "c"]
    assert selected(None, ["a", "b"]) == selected([], ["a", "b"]) == ["a", "b"]


def test_an_unknown_measure_is_named_with_those_that_there_are() -> None:
    with pytest.raises(LaundryError, match="one of a, b, not x, y"):
        selected(["y", "a", "x"], ["a", "b"])


def test_the_former_name_of_a_measure_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def notice(only: list[str], known: list[str]) -> list[str]:
        asked.append(selected(only, known))
        raise LaundryError("enough")

    monkeypatch.setattr(bench, "selected", notice)
    with pytest.raises(LaundryError, match="enough"):
        bench.bench(only=["ladder", "publish"])
    assert asked == [["publish", "retries"]]


@pytest.mark.parametrize(
    ("only", "chosen"),
    [
        (["scale"], list(parts(4))),
        (["scale-tasks"], ["scale-tasks"]),
        (["scale-tasks", "publish"], None),
    ],
)
def test_scale_is_measured_by_itself_and_only_when_it_is_named(
    monkeypatch: pytest.MonkeyPatch, only: list[str], chosen: list[str] | None
) -> None:
    asked: list[list[str]] = []

    def notice(only: list[str], known: list[str]) -> list[str]:
        asked.append(selected(only, known))
        raise LaundryError("enough")

    monkeypatch.setattr(bench, "selected", notice)
    with pytest.raises(LaundryError, match="enough" if chosen else "not publish"):
        bench.bench(only=only, largest=4)
    assert asked == ([chosen] if chosen else [])
