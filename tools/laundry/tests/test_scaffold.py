"""Names that a new service cannot have."""

from pathlib import Path

import pytest

from laundry.scaffold import service
from laundry_servers.errors import LaundryError


@pytest.mark.parametrize(
    ("name", "said"),
    [("class", "word of Python"), ("json", "exists already"), ("Lost Towels", "kebab-case")],
)
def test_a_name_that_no_package_can_have_is_refused(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(LaundryError, match=said):
        service.create(name, tmp_path)
    assert list(tmp_path.iterdir()) == []
