"""What full training runs need reaches mlops, and only mlops."""

from pathlib import Path

import pytest

from laundry.commands.stack import up
from laundry.stack.environment import training_environment
from laundry_catalogue import SERVICES, Need
from laundry_servers.errors import LaundryError


def test_without_photos_nothing_is_passed_on(tmp_path: Path) -> None:
    python = tmp_path / "python"
    assert training_environment(None, work=tmp_path, python=python) == {}
    found = training_environment(tmp_path / "data", work=tmp_path / "work", python=python)
    assert found == {
        "LAUNDRY_TRAINING_DATA": str(tmp_path / "data"),
        "LAUNDRY_TRAINING_WORK": str(tmp_path / "work"),
    }
    python.touch()
    found = training_environment(tmp_path / "data", work=tmp_path / "work", python=python)
    assert found["LAUNDRY_TRAINING_PYTHON"] == str(python)


def test_a_folder_without_the_table_of_photos_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(LaundryError, match=r"no clothing/photos\.csv"):
        up(training_data=tmp_path)


def test_only_mlops_hears_of_training() -> None:
    assert [service.name for service in SERVICES if Need.TRAINING in service.needs] == ["mlops"]
