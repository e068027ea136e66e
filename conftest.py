"""How tests share two cores: a file's tests stay together, and all that need the stack share one."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent

# How long an example takes depends on the machine's load, not on the code.
settings.register_profile("laundry", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("laundry")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the group that one worker runs (``--dist loadgroup``)."""
    for item in items:
        group = "stack" if item.get_closest_marker("stack") else str(item.path.relative_to(ROOT))
        item.add_marker(pytest.mark.xdist_group(group))
