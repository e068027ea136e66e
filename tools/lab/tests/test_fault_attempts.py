"""Attempts of messages that were handled in the end are known from the logs alone."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from laundry_lab.faults.attempts import Attempts


def line(event: str, attempt: int, *, queue: str = "task.read", event_id: str = "e1") -> bytes:
    said = {"event": f"message {event}", "attempt": attempt, "queue": queue, "event_id": event_id}
    return json.dumps(said).encode() + b"\n"


def test_only_what_is_written_from_now_on_counts(tmp_path: Path) -> None:
    log = tmp_path / "helper.log"
    log.write_bytes(line("retried", 3))
    attempts = Attempts(tmp_path)
    assert attempts.most() == 0
    with log.open("ab") as file:
        file.write(b'{"event": "started"}\n' + line("retried", 1)[:20])
        file.flush()
        assert attempts.most() == 0
        file.write(line("retried", 1)[20:])
    assert attempts.most() == 2  # it is tried again
    assert attempts.most() == 2


def test_a_message_is_followed_through_all_processes_and_queues_count_apart(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    (tmp_path / "ai-1.log").write_bytes(line("retried", 1) + b'{"event": "message re\n' + line("retried", 3))
    (tmp_path / "ai-2.log").write_bytes(line("retried", 2) + line("dead", 1, queue="task.submitted"))
    assert attempts.most() == 4
    with (tmp_path / "ai-2.log").open("ab") as file:
        file.write(line("retried", 4))
    assert attempts.most() == 5


@given(st.integers(1, 4))
def test_a_dead_message_is_not_tried_again(tmp_path_factory: object, attempt: int) -> None:
    attempts = Attempts(folder := tmp_path_factory.mktemp("log"))  # type: ignore[attr-defined]
    (folder / "a.log").write_bytes(
        b"".join(line("retried", n) for n in range(1, attempt)) + line("dead", attempt)
    )
    assert attempts.most() == attempt
