"""What an example teaches, what a run may become, who wins: the rules, without servers."""

from typing import Any

import pytest

from laundry_events.events import CountedLabel
from laundry_learning.sandbox.launcher import SandboxGone
from mlops.examples import FIRST_BRANCHES, HOLDOUT_SHARE, side_of, single_label
from mlops.jobs.run import Run
from mlops.launching.launcher import RETRY_LATER
from mlops.runs import STATUSES, Status, may_become, sources_of

LABELS = ("a", "b", "c")


@pytest.mark.parametrize(
    ("labels", "number"),
    [
        (["b"], 1),
        (["b", "b"], 1),
        (["b", "c"], None),
        (["towel"], None),
    ],
)
def test_only_photos_of_one_known_kind_teach(labels: list[str], number: int | None) -> None:
    assert single_label([CountedLabel(label=each, count=3) for each in labels], LABELS) == number


def test_a_branch_stands_aside_for_ever_but_not_among_the_first() -> None:
    names = [f"branch-{number}" for number in range(4000)]
    assert {side_of(name, before) for name in names[:100] for before in range(FIRST_BRANCHES)} == {"learning"}
    sides = [side_of(name, FIRST_BRANCHES) for name in names]
    assert sides == [side_of(name, 3000) for name in names]
    assert abs(sides.count("holdout") / len(sides) - HOLDOUT_SHARE) < 0.03


def test_a_run_that_has_ended_stays_as_it_is() -> None:
    ended: tuple[Status, ...] = ("succeeded", "failed", "cancelled")
    assert not any(may_become(status, target) for status in ended for target in STATUSES)
    assert sources_of("running") == ("queued",)
    assert sources_of("queued") == ("running",)
    assert sources_of("succeeded") == ("running",)
    assert set(sources_of("cancelled")) == {"queued", "running"}


async def test_of_a_container_that_is_gone_the_cluster_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[str] = []

    async def note(_run: Run, text: str) -> None:
        noted.append(text)

    monkeypatch.setattr(Run, "note", note)
    unused: Any = None
    run = Run("run-1", unused, unused)
    async with run:
        raise SandboxGone("the container that reads photos is gone")
    # Not failed by itself: mlops looks whether it needed more memory than its limit, or begins it again.
    assert run.exit_code == RETRY_LATER
    assert noted == ["the container that reads photos is gone"]
