"""Changed settings, and the restart of one process."""

import signal
import sys
from pathlib import Path

import pytest

from laundry.paths import StackPaths
from laundry.stack import changes
from laundry.stack.restart import restart
from laundry_servers.errors import LaundryError
from laundry_servers.files import write_json
from laundry_servers.process import Process


def test_a_changed_setting_is_taken_at_the_next_start_and_only_by_its_process(tmp_path: Path) -> None:
    paths = StackPaths(tmp_path)
    said = tmp_path / "said"
    process = Process(
        "mlops",
        [sys.executable, "-c", f"import os; open({str(said)!r}, 'w').write(os.environ['LAUNDRY_X'])"],
        {"LAUNDRY_X": "old"},
        tmp_path / "log",
        ready=lambda: True,
        changed_environment=lambda: changes.of_process(paths, "mlops"),
    )
    for expected in ("old", "new"):
        process.spawn()
        assert process.child is not None
        assert process.child.wait(30) == 0
        assert said.read_text() == expected
        changes.change(paths, "mlops", {"LAUNDRY_X": "new"})
    assert changes.of_process(paths, "helper") == {}


def test_a_restart_refuses_what_is_no_service_or_no_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = StackPaths(tmp_path)
    with pytest.raises(LaundryError, match="not running"):
        restart(paths, "mlops")
    monkeypatch.setattr("laundry.stack.state.supervisor", lambda _: object())
    write_json(paths.stack_file, {"pids": {"mlops": 2**22, "rabbitmq-1": 2**22}})
    write_json(paths.processes_file, {"processes": [{"name": "mlops"}, {"name": "rabbitmq-1"}]})
    with pytest.raises(LaundryError, match="There are: helper"):
        restart(paths, "rabbitmq-1")
    with pytest.raises(LaundryError, match=r"helper does not run in this stack.*laundry up"):
        restart(paths, "helper")
    with pytest.raises(LaundryError, match="begin with LAUNDRY_"):
        restart(paths, "mlops", {"PATH": "/"})
    assert not paths.changes_file.exists()


def test_one_that_ended_by_itself_is_restarted_once_it_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = StackPaths(tmp_path)
    write_json(paths.processes_file, {"processes": [{"name": "mlops"}]})
    told: list[tuple[int, int]] = []
    seen = iter([{}, {}, {"mlops": 7}])
    monkeypatch.setattr("laundry.stack.state.supervisor", lambda _: object())
    monkeypatch.setattr("laundry.stack.state.running_stack", lambda _: {"pids": next(seen, {"mlops": 7})})
    monkeypatch.setattr("laundry.stack.restart.os.kill", lambda *call: told.append(call))
    monkeypatch.setattr("laundry.stack.restart.wait_for_successor", lambda paths, name, before: before + 1)
    assert restart(paths, "mlops") == 8
    assert told == [(7, signal.SIGTERM)]
    monkeypatch.setattr("laundry.stack.restart.RESTART_SECONDS", 0)
    monkeypatch.setattr("laundry.stack.state.running_stack", lambda _: {"pids": {}})
    with pytest.raises(LaundryError, match=r"mlops has ended and was not started again.*mlops\.log"):
        restart(paths, "mlops")
