"""The list of decisions."""

from pathlib import Path

import pytest

from laundry import decisions
from laundry_servers.errors import LaundryError


def test_each_decision_is_in_the_list_with_what_became_of_it(tmp_path: Path) -> None:
    (tmp_path / "0001-one.md").write_text(
        "# 1. One thing\n\n**Replaced** by [2](0002-two.md), which is simpler.\n"
    )
    (tmp_path / "0002-two.md").write_text("# 2. Another\n\n**Decided.** It.\n")
    rows = decisions.text(tmp_path.glob("*.md")).splitlines()[-2:]
    assert rows == [
        "| [1](0001-one.md) | One thing (replaced by [2](0002-two.md)) |",
        "| [2](0002-two.md) | Another |",
    ]


@pytest.mark.parametrize("text", ["One thing\n", "# 2. Another\n"])
def test_a_decision_without_its_number_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "0001-one.md"
    file.write_text(text)
    with pytest.raises(LaundryError, match=r"^0001-one\.md"):
        decisions.text([file])
