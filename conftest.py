"""How tests share two cores: a file's tests stay together, and all that need the stack share one."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent

# How long an example takes depends on the machine's load, not on the code.
settings.register_profile("laundry", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("laundry")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the group that one worker runs (``--dist loadgroup``), the long groups first."""
    for item in items:
        group = "stack" if item.get_closest_marker("stack") else str(item.path.relative_to(ROOT))
        item.add_marker(pytest.mark.xdist_group(group))
    # A long group that begins last is waited for by every other worker.
    items.sort(key=lambda item: -length(item))


def length(item: pytest.Item) -> int:
    """Estimate how long a test's group takes: 4 for the stack's, 0 for one without servers."""
    marked = {marker.name for marker in item.iter_markers()}
    if "stack" in marked:
        return 4
    if item.path.name == "test_fuzz.py":
        return 3
    return 2 if "browser" in marked else 1 if "servers" in marked else 0
