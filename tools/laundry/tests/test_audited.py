"""What is said where an act cannot be recorded: before it, after it, and after one that failed."""

from pathlib import Path

import pytest

from laundry.commands import audited as module
from laundry.commands.audited import audited
from laundry_servers.errors import LaundryError
from laundry_service.audit.acts import Act


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Outcomes that cannot be recorded, as on a full disk."""
    outcomes: list[str] = []
    append = module._append

    def keep(act: Act) -> None:
        if act.outcome in outcomes:
            raise OSError(28, "No space left on device")
        append(act)

    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(tmp_path))
    monkeypatch.setattr(module, "_append", keep)
    return outcomes


def test_what_cannot_be_recorded_is_not_done(full: list[str]) -> None:
    full.append("asked")
    done = []
    with pytest.raises(LaundryError, match="nothing was done: OSError"), audited("token.deny", "sub u1"):
        done.append(True)
    assert not done


def test_what_was_done_is_not_said_to_be_undone(full: list[str]) -> None:
    full.append("done")
    with (
        pytest.raises(LaundryError, match=r"token\.deny sub u1 was done, but the audit cannot be written"),
        audited("token.deny", "sub u1"),
    ):
        pass


def test_the_error_of_the_act_itself_is_the_one_that_is_raised(
    full: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    full.append("failed")
    with pytest.raises(LaundryError, match="not on the list"), audited("token.allow", "sub u1"):
        raise LaundryError("That is not on the list.")
    told = " ".join(capsys.readouterr().err.split())
    assert "token.allow sub u1 failed, and the audit cannot be written: OSError" in told
