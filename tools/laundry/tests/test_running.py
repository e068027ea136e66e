"""A command that needs a stack uses the running one, or starts one and stops it whatever happens."""

from pathlib import Path
from typing import Any

import pytest

from laundry.commands import running
from laundry.stack import detached, state
from laundry.stack.launch import Options
from laundry_catalogue import SERVICES
from laundry_servers.errors import LaundryError

OURS, OTHERS = object(), object()
DOCUMENT = {each.url_key: "http://127.0.0.1:1" for each in SERVICES}


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    found: list[str] = []

    def start(paths: Any, options: Options, progress: Any) -> dict[str, Any]:
        found.append(f"start {options.nodes}")
        monkeypatch.setattr(state, "supervisor", lambda _: OURS)
        return DOCUMENT

    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(tmp_path))
    monkeypatch.setattr(detached, "start", start)
    monkeypatch.setattr(running, "down", lambda *, wipe: found.append(f"down {wipe}"))
    return found


def test_a_stack_that_was_started_here_is_stopped_and_keeps_its_data(happened: list[str]) -> None:
    with running.running_stack(nodes=3) as stack:
        assert stack.started_here and stack.document == DOCUMENT
        assert happened == ["start 3"]
    assert happened == ["start 3", "down False"]


def test_it_is_stopped_too_when_the_command_fails(happened: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt), running.running_stack():
        raise KeyboardInterrupt
    assert happened == ["start 1", "down False"]


def test_a_running_stack_is_used_and_left_alone(happened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "supervisor", lambda _: object())
    monkeypatch.setattr(state, "running_stack", lambda _: DOCUMENT)
    with running.running_stack() as stack:
        assert not stack.started_here
    assert happened == []


@pytest.mark.parametrize("nodes", [0, 2, 4])
def test_a_cluster_that_could_not_agree_is_refused(happened: list[str], nodes: int) -> None:
    with pytest.raises(LaundryError, match="1 or 3"), running.running_stack(nodes=nodes):
        pass
    assert happened == []


def test_a_start_that_was_refused_stops_nobody(happened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> dict[str, Any]:
        # Another start was first, after this command had looked.
        monkeypatch.setattr(state, "supervisor", lambda _: OTHERS)
        raise LaundryError("already running")

    monkeypatch.setattr(detached, "start", refuse)
    with pytest.raises(LaundryError, match="already running"), running.running_stack():
        pass
    assert happened == []


@pytest.mark.parametrize(("found", "stopped"), [(OTHERS, []), (None, ["down False"])])
def test_what_another_started_meanwhile_stays_and_what_a_crash_left_goes(
    happened: list[str], monkeypatch: pytest.MonkeyPatch, found: object, stopped: list[str]
) -> None:
    with running.running_stack():
        monkeypatch.setattr(state, "supervisor", lambda _: found)
    assert happened == ["start 1", *stopped]


def test_a_running_stack_without_some_services_is_refused_and_left_alone(
    happened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "supervisor", lambda _: OTHERS)
    monkeypatch.setattr(state, "running_stack", lambda _: {"helper_url": "http://127.0.0.1:1"})
    with pytest.raises(LaundryError, match=r"mlops.* do not run in this stack"), running.running_stack():
        pass
    assert happened == []
