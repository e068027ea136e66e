"""``laundry telemetry`` writes what processes watch, and says what they say."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from laundry.cli import app
from laundry.commands import telemetry

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


def test_a_name_that_is_none_is_refused_with_those_that_are(var: Path) -> None:
    result = RUN.invoke(app, ["telemetry", "off", "../helper"])
    assert result.exit_code == 1
    assert not (var / "telemetry").exists()


@pytest.mark.parametrize(
    ("said", "word"), [(None, "does not answer"), (1.0, "details on"), (0.0, "details off")]
)
def test_what_a_process_says_is_put_into_words(said: float | None, word: str) -> None:
    assert telemetry._word(said) == word
