"""What a process loads: nothing for what its service does not use."""

import subprocess
import sys

import pytest

from laundry_catalogue import SERVICES, Need, Service

OF_BROKERS = {"aio_pika", "aiormq", "faststream"}
OF_DATABASES = {"alembic", "asyncpg", "sqlalchemy"}
NEEDLESS = {"alembic", "boto3", "botocore", "onnx", "opentelemetry.sdk", "psutil", "pytest", "rich", "torch"}


def loaded(package: str) -> set[str]:
    """The modules that a service's process has once it is ready to serve."""
    told = f"import {package}.__main__, sys;print(*(name for name, module in sys.modules.items() if module))"
    done = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_loads_nothing_that_it_does_not_use(service: Service) -> None:
    modules = loaded(service.package)
    assert service.package in modules
    unused = set(NEEDLESS)
    if Need.DATABASE not in service.needs:
        unused |= OF_DATABASES
    if Need.BROKER not in service.needs:
        unused |= OF_BROKERS
    assert modules & unused == set()
