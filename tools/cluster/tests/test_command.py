"""What the command says where no cluster is up."""

from pathlib import Path

import pytest

from laundry_cluster import installation
from laundry_cluster.node import Cluster
from laundry_servers.errors import LaundryError


@pytest.fixture
def nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cluster, "is_up", False)


def test_without_a_cluster_nothing_is_run(nothing_up: None, tmp_path: Path) -> None:
    made = tmp_path / "made"
    with pytest.raises(LaundryError, match="laundry cluster up"):
        installation.at_hand(["touch", str(made)])
    assert not made.exists()
