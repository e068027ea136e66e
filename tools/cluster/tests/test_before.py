"""The release before this one is found in the history, where there is one."""

import subprocess
from pathlib import Path

import pytest

from laundry.deploy.chart import CHART
from laundry_cluster import check
from laundry_cluster.before import CHART_FILE, commit_of, repair
from laundry_servers.errors import LaundryError


def git(folder: Path, *arguments: str) -> str:
    known = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *known, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path, version: str, name: str = "a") -> str:
    file = folder / CHART_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"name: {name}\nversion: {version}\nappVersion: 1\n")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", version)
    return git(folder, "rev-parse", "HEAD")


def test_it_is_the_last_commit_of_another_version_of_the_chart(tmp_path: Path) -> None:
    assert commit_of(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    commit(tmp_path, "0.1.0")
    assert commit_of(tmp_path) is None
    last = commit(tmp_path, "0.1.0", name="b")
    commit(tmp_path, "0.2.0")
    commit(tmp_path, "0.2.0", name="c")
    assert commit_of(tmp_path) == last


def test_a_topology_job_that_may_write_nothing_gets_a_place_once(tmp_path: Path) -> None:
    template = tmp_path / "templates/topology.yaml"
    template.parent.mkdir()
    present = (CHART / "templates/topology.yaml").read_text()
    line = "            - {name: LAUNDRY_VAR_DIR, value: /tmp}\n"
    for text in (present.replace(line, ""), present):
        template.write_text(text)
        repair(tmp_path)
        assert template.read_text().count(line) == 1


def test_steps_are_chosen_by_name() -> None:
    names = [step.name for step in check.ALL]
    assert len(set(names)) == len(names)
    assert check.chosen([], None) == list(check.ALL)
    assert [step.name for step in check.chosen([], "kill")] == names[names.index("kill") :]
    assert [step.name for step in check.chosen(["kill", "test"], None)] == ["test", "kill"]
    with pytest.raises(LaundryError, match="No such step: nothing"):
        check.chosen(["nothing"], None)
