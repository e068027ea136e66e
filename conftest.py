"""How tests share two cores: a file's tests stay together, and all that need the stack share one."""

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from laundry_service.garbage import look_seldom
from laundry_testing.sparing import spare

spare()
# How long an example takes depends on the machine's load, not on the code.
# The same examples each time: other ones are for ``make fuzz``, where a failure is looked for.
settings.register_profile(
    "laundry", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True, database=None
)
settings.load_profile("laundry")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Give each worker whole files, and one of them all that needs the stack."""
    return FileScheduling(config, log)


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """``--dist loadgroup`` of pytest-xdist 3.8 finds no groups with pytest 9.2, and says nothing."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/stack" if file.startswith("tests/stack/") else file


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run be divided, so that the larger part of what can break is known within minutes."""
    parser.addoption(
        "--part",
        choices=["main", "rest"],
        help="rest: the whole stack, and the pages in Firefox and WebKit; main: all else (default: both)",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the other part; begin the long files, for which every other worker would wait at the end."""
    part = config.getoption("--part")
    if part is not None:
        left_out = [item for item in items if in_rest(item) != (part == "rest")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if in_rest(item) == (part == "rest")]
    items.sort(key=lambda item: -length(item))


def in_rest(item: pytest.Item) -> bool:
    """Say whether a test runs the whole stack, or a page that the main part has in Chromium."""
    engine = item.callspec.params.get("engine") if hasattr(item, "callspec") else None
    return engine in {"firefox", "webkit"} or item.get_closest_marker("stack") is not None


def pytest_collection_finish() -> None:
    """Leave out of every search for garbage what thousands of collected tests have imported and made."""
    look_seldom()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Name each test that failed once more, in one line and last: runners keep the end of what is printed."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput"):
        return
    for outcome in ("failed", "error"):
        for report in reporter.stats.get(outcome, []):
            crash = getattr(report.longrepr, "reprcrash", None)
            why = (str(crash.message if crash else report.longrepr).splitlines() or [""])[0]
            reporter.write_line(f"{outcome}: {report.nodeid}: {why}"[:300])


def length(item: pytest.Item) -> int:
    """Estimate how long a test's file takes: 4 for one that needs the stack, 0 for one without servers."""
    marked = {marker.name for marker in item.iter_markers()}
    if "stack" in marked:
        return 4
    if item.path.name == "test_fuzz.py":
        return 3
    return 2 if "browser" in marked else 1 if "servers" in marked else 0
