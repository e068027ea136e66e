"""What a process loads: nothing for what its service does not use."""

import subprocess
import sys

import pytest

from laundry_catalogue import SERVICES, Need, Service

OF_BROKERS = {"aio_pika", "aiormq", "faststream"}
OF_DATABASES = {"alembic", "asyncpg", "sqlalchemy"}
NEEDLESS = {"alembic", "boto3", "botocore", "onnx", "opentelemetry.sdk", "psutil", "pytest", "rich", "torch"}


def loaded(module: str) -> set[str]:
    """The modules that a process has once it has imported one of them."""
    told = f"import {module}, sys;print(*(name for name, module in sys.modules.items() if module))"
    done = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_loads_nothing_that_it_does_not_use(service: Service) -> None:
    modules = loaded(f"{service.package}.__main__")
    assert service.package in modules
    unused = set(NEEDLESS)
    if Need.DATABASE not in service.needs:
        unused |= OF_DATABASES
    if Need.BROKER not in service.needs:
        unused |= OF_BROKERS
    assert modules & unused == set()


def test_the_command_line_loads_what_services_are_made_of_only_when_a_command_asks_for_it() -> None:
    modules = loaded("laundry.cli")
    assert "typer" in modules
    # It is also the supervisor, which stays in memory, and each call of it waits for what it imports.
    assert modules & {*OF_BROKERS, "alembic", "sqlalchemy", "fastapi", "opentelemetry.sdk"} == set()
