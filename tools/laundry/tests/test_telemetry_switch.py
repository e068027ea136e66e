"""``laundry telemetry`` writes what processes watch, and says what they say."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from laundry.cli import app
from laundry.commands import telemetry
from laundry.deploy import environment
from laundry.paths import StackPaths

RUN = CliRunner()


@pytest.fixture(autouse=True)
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(tmp_path))
    return tmp_path


def files(var: Path) -> dict[str, str]:
    return {each.name: each.read_text().strip() for each in (var / "telemetry").iterdir()}


def test_each_service_has_a_file_of_its_own(var: Path) -> None:
    assert RUN.invoke(app, ["telemetry", "off", "notification-faults"]).exit_code == 0
    assert files(var) == {"notification-faults": "off"}
    assert RUN.invoke(app, ["telemetry", "off", "notification"]).exit_code == 0
    assert RUN.invoke(app, ["telemetry", "on", "notification-faults"]).exit_code == 0
    assert files(var) == {"notification": "off", "notification-faults": "on"}


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def readable_by_all(path: Path) -> bool:
    wanted = 0o005 if path.is_dir() else 0o004
    return path.stat().st_mode & wanted == wanted


@pytest.mark.usefixtures("strict_umask")
def test_containers_read_it_whatever_the_umask_is(var: Path) -> None:
    """They run as a user of their own, and Compose mounts the folder."""
    (var / "telemetry").mkdir()
    environment.write(StackPaths(var))
    assert readable_by_all(var / "telemetry")
    assert RUN.invoke(app, ["telemetry", "off", "helper"]).exit_code == 0
    assert files(var) == {"helper": "off"}
    assert readable_by_all(var / "telemetry" / "helper")


@pytest.mark.usefixtures("strict_umask")
def test_a_folder_that_the_command_makes_itself_is_read_too(var: Path) -> None:
    assert RUN.invoke(app, ["telemetry", "off", "helper"]).exit_code == 0
    assert readable_by_all(var / "telemetry") and readable_by_all(var / "telemetry" / "helper")


def test_a_name_that_is_none_is_refused_with_those_that_are(var: Path) -> None:
    result = RUN.invoke(app, ["telemetry", "off", "../helper"])
    assert result.exit_code == 1
    assert not (var / "telemetry").exists()


@pytest.mark.parametrize(
    ("said", "word"), [(None, "does not answer"), (1.0, "details on"), (0.0, "details off")]
)
def test_what_a_process_says_is_put_into_words(said: float | None, word: str) -> None:
    assert telemetry._word(said) == word
