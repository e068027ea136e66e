"""The walls between rooms: services know each other only through events, rules know no framework."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = {path.parents[2].name: path.parent for path in ROOT.glob("services/*/src/*/__init__.py")}
PACKAGES = {path.parent.name for path in ROOT.glob("*/*/src/*/__init__.py")}
LIBRARIES = {path.parent.name for path in ROOT.glob("libs/*/src/*/__init__.py")} - {"laundry_testing"}

FRAMEWORKS = {
    "aio_pika", "alembic", "asyncpg", "boto3", "botocore", "fastapi", "faststream", "firebase_admin",
    "httpx", "laundry_service", "sqlalchemy", "starlette", "uvicorn",
}  # fmt: skip
RULES = [
    "ai-consumer/reading.py",
    "helper/tasks.py",
    "mlops/examples.py",
    "mlops/runs.py",
    "monitoring/timeline.py",
    "monitoring/fault_codes.py",
    "monitoring/alert_damping.py",
    "monitoring/fault_rules.py",
    "monitoring/device_limits.py",
    "monitoring/device_login.py",
    "monitoring/fault_detection.py",
    "monitoring/equipment_metrics.py",
    "monitoring/token_buckets.py",
    "monitoring/machine.py",
    "monitoring/sample_issues.py",
    "monitoring/telemetry.py",
    "notification/alert_grouping.py",
    "notification/fault_texts.py",
    "notification/fcm_outage.py",
    "notification/model.py",
    "notification/push.py",
    "notification/push_scheduling.py",
    "notification/texts.py",
    "operations/queue_health.py",
    "search/matching.py",
    "search/preferences.py",
    "search/splitting.py",
]


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_imports_no_other_package_of_ours_but_the_libraries(service: str) -> None:
    own = SERVICES[service].name
    foreign = PACKAGES - LIBRARIES - {own}
    for path in SERVICES[service].rglob("*.py"):
        assert not foreign & set(imported(path)), path.relative_to(ROOT)


@pytest.mark.parametrize("library", sorted(LIBRARIES))
def test_a_library_imports_no_service(library: str) -> None:
    (folder,) = ROOT.glob(f"libs/*/src/{library}")
    for path in folder.rglob("*.py"):
        assert not (PACKAGES - LIBRARIES) & set(imported(path)), path.relative_to(ROOT)


@pytest.mark.parametrize("module", RULES)
def test_rules_import_no_framework(module: str) -> None:
    service, name = module.split("/")
    assert not FRAMEWORKS & set(imported(SERVICES[service] / name))


def test_nobody_publishes_around_the_library() -> None:
    for service, folder in SERVICES.items():
        for path in folder.rglob("*.py"):
            text = path.read_text()
            assert "basic_publish" not in text and "broker.publish" not in text, (service, path.name)
