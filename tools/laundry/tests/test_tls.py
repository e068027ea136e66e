"""``laundry tls`` without a stack; tests/stack renews the certificates of a running one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from laundry.cli import app
from laundry_servers import choice
from laundry_servers.authority import Authority, read
from laundry_servers.choice import Kind
from laundry_servers.errors import LaundryError
from laundry_servers.progress import Quiet

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(tmp_path))
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, ["tls", *arguments])


def shown(run: Run) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = json.loads(run("show", "--json").stdout)
    return found


def test_what_is_issued_is_shown_and_kept_in_the_audit(run: Run, tmp_path: Path) -> None:
    done = run("issue", "broker", "--host", "broker.example", "--host", "10.0.0.7", "--days", "30")
    assert done.exit_code == 0, done.output
    assert read(Path(done.stdout.strip())).hosts == ("broker.example", "10.0.0.7")
    run("issue", "washer-1")
    issued = {each["name"]: (each["hosts"], each["days_left"]) for each in shown(run)["issued"]}
    assert issued == {"broker": (["broker.example", "10.0.0.7"], 29), "washer-1": ([], 89)}
    assert "washer-1" in run("show").stdout
    acts = [json.loads(line) for line in (tmp_path / "audit" / "acts.jsonl").read_text().splitlines()]
    assert {(each["action"], each["object"]) for each in acts} == {
        ("tls.issue", "broker"),
        ("tls.issue", "washer-1"),
    }


def test_an_authority_is_replaced_in_two_steps(run: Run) -> None:
    run("issue", "washer-1")
    [first] = shown(run)["trusted"]
    assert run("rotate", "--finish", "--authority").exit_code == 1
    assert run("rotate", "--authority").exit_code == 0
    assert [each["name"] for each in shown(run)["trusted"]][1:] == [first["name"]]
    again = run("rotate", "--authority")
    assert again.exit_code == 1
    assert "--finish" in again.stderr
    assert run("rotate", "--finish").exit_code == 0
    [second] = shown(run)["trusted"]
    assert second["name"] == f"CN={shown(run)['issued'][0]['issuer']}" != first["name"]


@pytest.mark.parametrize("arguments", [("show",), ("rotate",)])
def test_without_an_authority_it_is_said_how_to_make_one(run: Run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.exit_code == 1
    assert "laundry up --tls" in done.stderr


def test_tls_is_for_native_servers(tmp_path: Path) -> None:
    for kind in (Kind.DOCKER, Kind.GIVEN):
        with pytest.raises(LaundryError, match="--servers native"):
            choice.broker(kind, tmp_path, Quiet(), authority=Authority(tmp_path / "tls"))
