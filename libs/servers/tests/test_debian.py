"""Where packages come from is said by the machine, never by us."""

from pathlib import Path

import pytest

from laundry_servers import debian
from laundry_servers.errors import LaundryError


def test_without_a_mirror_it_is_said_how_to_name_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(debian, "debian_mirror", lambda: None)
    with pytest.raises(LaundryError, match="set LAUNDRY_DEBIAN_MIRROR"):
        debian.unpack(["hello"], tmp_path / "unpacked" / "hello")
    assert not (tmp_path / "unpacked").exists()
