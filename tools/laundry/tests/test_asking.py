"""Questions before what cannot be taken back, and files that take no other's place."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from laundry.cli import INTERRUPTED, app
from laundry.commands.new_files import new_file
from laundry_servers.errors import LaundryError

ERASE = ["people", "erase", "u1"]


def test_where_nobody_can_answer_it_says_what_to_pass() -> None:
    asked = CliRunner().invoke(app, ERASE, input="")
    assert asked.exit_code == 1
    assert "nothing was done. Say that you mean it: --yes" in " ".join(asked.output.split())


def test_a_no_does_nothing() -> None:
    asked = CliRunner().invoke(app, ERASE, input="n\n")
    assert (asked.exit_code, "Nobody was forgotten" in asked.output) == (1, True)


@pytest.mark.parametrize(("rows", "warned"), [({}, True), ({"tasks": 0}, True), ({"tasks": 2}, False)])
def test_an_erasure_that_met_nobody_asks_whether_the_sub_is_right(
    monkeypatch: pytest.MonkeyPatch, rows: dict[str, int], *, warned: bool
) -> None:
    done = {
        "id": "e1",
        "state": "settling",
        "requested_at": "2026-11-28T09:00:00Z",
        "waiting_for": [],
        "dead_letters": 0,
        "parts": [{"service": "helper", "forgotten_at": None, "rows": rows}],
    }

    class Operations(nullcontext[None]):
        def __enter__(self) -> Any:
            return self

        def call(self, *_: object, **__: object) -> dict[str, Any]:
            return done

    monkeypatch.setattr("laundry.commands.personal_data._caller", lambda _: Operations())
    asked = CliRunner().invoke(app, ["people", "erase", "U1", "--yes", "--wait"])
    assert asked.exit_code == 0
    assert ("No service held anything of U1." in " ".join(asked.output.split())) is warned


def test_ctrl_c_at_a_question_is_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> bool:
        raise typer.Abort

    monkeypatch.setattr("typer.confirm", interrupt)
    monkeypatch.setattr("laundry.commands.asking.at_a_terminal", lambda: True)
    asked = CliRunner().invoke(app, ERASE)
    assert (asked.exit_code, "Interrupted." in asked.output) == (INTERRUPTED, True)


def test_a_new_file_takes_no_other_ones_place_and_goes_where_it_fails(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with pytest.raises(KeyboardInterrupt), new_file(file) as out:
        out.write("half")
        raise KeyboardInterrupt
    with pytest.raises(LaundryError, match="cannot be written: No space"), new_file(file) as out:
        raise OSError(28, "No space left on device")
    with pytest.raises(KeyboardInterrupt), new_file(file, keep_part=True) as out:
        raise KeyboardInterrupt
    assert not file.exists()
    with pytest.raises(KeyboardInterrupt), new_file(file, keep_part=True) as out:
        out.write("lines\n")
        raise KeyboardInterrupt
    with pytest.raises(LaundryError, match="File exists"), new_file(file):
        pass
    assert file.read_text() == "lines\n"
    assert file.stat().st_mode & 0o777 == 0o600
