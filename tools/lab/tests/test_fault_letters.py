"""Dead letters that were there before a run do not hide those of the run."""

from typing import Any

import pytest

from laundry_lab.faults import invariants
from laundry_lab.faults.dead_letters import Letter
from laundry_lab.faults.invariants import Invariants


def a_letter(queue: str) -> Letter:
    return Letter(
        fingerprint="f", queue=queue, message_id="m1", task_id=None, attempts=1, reason="unknown-event"
    )


async def test_a_letter_that_looks_like_an_older_one_in_another_queue_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def there(_: Any) -> list[Letter]:
        return [a_letter("task.read")]

    monkeypatch.setattr(invariants, "dead_letters", there)
    nothing: Any = None
    run = Invariants(nothing, nothing, nothing)
    await run.begin()
    letters = [a_letter("task.read"), a_letter("history.intake")]
    assert [each.queue for each in letters if each.place not in run._older] == ["history.intake"]
