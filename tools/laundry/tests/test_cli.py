"""The one command: what it offers of its own, what installed packages add, what is missing without them."""

from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from laundry import cli


@pytest.fixture
def without_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "entry_points", lambda **_: ())


def test_the_lab_adds_its_commands() -> None:
    shown = CliRunner().invoke(cli.app, ["--help"]).output
    assert all(name in shown for name in ("up", "demo", "dlq", *cli.LAB_COMMANDS))
    assert "not installed" not in shown
    assert CliRunner().invoke(cli.app, ["bench", "--help"]).exit_code == 0


@pytest.mark.usefixtures("without_the_lab")
def test_without_the_lab_everything_else_works_and_its_commands_say_what_to_install() -> None:
    shown = CliRunner().invoke(cli.app, ["--help"])
    assert shown.exit_code == 0
    assert "pip install -e tools/lab" in " ".join(shown.output.split())
    for name in cli.LAB_COMMANDS:
        asked = CliRunner().invoke(cli.app, [name])
        assert asked.exit_code == 1
        assert "pip install -e tools/lab" in " ".join(asked.output.split())
    assert CliRunner().invoke(cli.app, ["topology", "show"]).exit_code == 0


def test_another_users_stack_says_whose_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In a container whoever runs this may have no name.
    monkeypatch.setattr(Path, "owner", lambda _: "somebody")
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(tmp_path))
    file = tmp_path / "run" / "processes.json"
    file.parent.mkdir()
    file.touch()

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr("laundry.stack.report.read_json", refuse)
    asked = CliRunner().invoke(cli.app, ["status"])
    told = " ".join(asked.output.split())
    assert asked.exit_code == 1
    assert "Permission denied" in told and "LAUNDRY_VAR_DIR" in told
    assert "This stack belongs to somebody" in told


def test_a_command_that_nobody_has_is_refused() -> None:
    assert CliRunner().invoke(cli.app, ["bleach"]).exit_code == 2


@pytest.mark.parametrize("command", [["equipment", "fault"], ["fault"]])
def test_a_machines_fault_is_reported_under_both_names(command: list[str]) -> None:
    shown = CliRunner().invoke(cli.app, [*command, "--help"])
    assert shown.exit_code == 0 and "--clear" in shown.output


def test_wiping_deletes_what_names_people_and_leaves_backups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(tmp_path))
    for name in ("data/mail", "log", "tls", "backups"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "of-somebody").touch()
    (tmp_path / "secrets.json").touch()
    assert CliRunner().invoke(cli.app, ["down", "--wipe"]).exit_code == 0
    assert [each.name for each in tmp_path.iterdir()] == ["backups"]
