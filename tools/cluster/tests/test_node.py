"""A cluster that could not be started here leaves the one that runs alone."""

from pathlib import Path
from typing import Any

import pytest

from laundry_cluster import node
from laundry_cluster.places import NAMESPACE, Places
from laundry_servers.errors import LaundryError

ADD, DELETE = ["ip", "netns", "add", NAMESPACE], ["ip", "netns", "del", NAMESPACE]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that were asked for; none is run, and adding a namespace is refused."""
    found: list[list[str]] = []

    def run(command: list[str], **_: Any) -> str:
        found.append(command)
        if command == ADD:
            raise LaundryError("File exists")
        return ""

    monkeypatch.setattr(node, "run", run)
    monkeypatch.setattr("laundry_cluster.node.os.geteuid", lambda: 0)
    return found


def places(folder: Path) -> Places:
    made = Places(folder)
    made.run.mkdir(parents=True)
    (made.run / "kubeconfig").write_text("somebody's")
    return made


def test_one_that_runs_already_is_left_alone(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(node.Cluster, "is_up", True)
    with pytest.raises(LaundryError, match="runs already"), node.running(places(tmp_path)):
        pass
    assert DELETE not in commands


def test_one_that_another_started_at_the_same_time_is_left_alone(
    commands: list[list[str]], tmp_path: Path
) -> None:
    taken = places(tmp_path)
    with pytest.raises(LaundryError, match="File exists"), node.running(taken):
        pass
    assert ADD in commands and DELETE not in commands
    assert (taken.run / "kubeconfig").exists()


def test_one_that_was_begun_here_is_removed(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(command: list[str], **_: Any) -> str:
        commands.append(command)
        return ""

    def fail(*_: object) -> None:
        raise LaundryError("no certificates")

    monkeypatch.setattr(node, "run", run)
    monkeypatch.setattr("laundry_cluster.node.certificates.make", fail)
    with pytest.raises(LaundryError, match="no certificates"), node.running(places(tmp_path)):
        pass
    assert commands[-1] == DELETE
