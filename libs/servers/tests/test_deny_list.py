"""The local identity provider's deny list."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from laundry_servers.deny_list import LocalDenyList
from laundry_servers.errors import LaundryError


def test_an_entry_that_is_over_leaves_by_itself(tmp_path: Path) -> None:
    denied = LocalDenyList(tmp_path)
    denied.deny(sub="kim", until=datetime.now(UTC) - timedelta(seconds=1))
    denied.deny(sub="lee", until=datetime.now(UTC) + timedelta(hours=1))
    assert [entry["sub"] for entry in denied.entries()] == ["lee"]
    with pytest.raises(LaundryError):
        denied.deny()


DENY = "import sys; from pathlib import Path; from laundry_servers.deny_list import LocalDenyList as L; "
DENY += "[L(Path(sys.argv[1])).deny(sub=f'{sys.argv[2]}-{n}') for n in range(20)]"


def test_two_commands_at_once_lose_nothing(tmp_path: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", DENY, str(tmp_path), str(each)]) for each in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    assert len(LocalDenyList(tmp_path).entries()) == 80
