"""How the tests share two cores: a file's tests stay together, and all that need the stack share one."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the group that one worker runs (``--dist loadgroup``)."""
    for item in items:
        group = "stack" if item.get_closest_marker("stack") else str(item.path.relative_to(ROOT))
        item.add_marker(pytest.mark.xdist_group(group))
