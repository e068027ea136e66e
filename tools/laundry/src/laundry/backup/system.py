"""What is backed up: where the databases, the broker and the bucket of a system are."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from laundry import management
from laundry.paths import StackPaths
from laundry.stack import state
from laundry_catalogue import database_owners, variable
from laundry_events.broker_plan import Target
from laundry_servers.errors import LaundryError

AMQP_VARIABLE = "LAUNDRY_AMQP_URL"
DATABASE_VARIABLE, OWNER_VARIABLE = "LAUNDRY_DATABASE_URL_{}", "LAUNDRY_DATABASE_OWNER_URL_{}"
S3_VARIABLES = {
    "endpoint_url": "LAUNDRY_S3_ENDPOINT_URL",
    "bucket": "LAUNDRY_S3_BUCKET",
    "access_key": "LAUNDRY_S3_ACCESS_KEY",
    "secret_key": "LAUNDRY_S3_SECRET_KEY",
}


@dataclass(frozen=True, slots=True)
class Bucket:
    """The bucket of photos and models, with keys that may read and write it."""

    endpoint_url: str | None
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class System:
    """Addresses of everything that holds data.

    Attributes:
        databases: by service, the libpq address of the login that owns the tables.
        amqp_urls: of the broker's nodes, as one who may read every queue.
        local: whether it is the stack of this machine.
    """

    databases: Mapping[str, str] = field(repr=False)
    broker: Target
    amqp_urls: Sequence[str] = field(repr=False)
    bucket: Bucket
    local: bool


def running(paths: StackPaths) -> System:
    """Return the stack that runs on this machine. Raises LaundryError when none runs."""
    return of_stack(state.running_stack(paths))


def of_stack(document: Mapping[str, Any]) -> System:
    """Return the system that ``var/stack.json`` describes."""
    databases = {**document["postgres_urls"], **document["postgres_owner_urls"]}
    broker = management.of_stack(document)
    return System(databases, broker, document["amqp_urls"], Bucket(**document["s3"]), local=True)


def of_environment(environment: Mapping[str, str] = os.environ) -> System | None:
    """Return the system that the environment names, as a job in a cluster has it; None if it names none.

    Raises:
        LaundryError: it names a part of one.
    """
    databases = {name: _database(environment, name) for name in database_owners()}
    if not any(databases.values()):
        return None
    # Empty means that the service is not installed.
    asked = [variable(DATABASE_VARIABLE, name) for name, url in databases.items() if url is None]
    optional = S3_VARIABLES["endpoint_url"]
    asked += [
        name
        for name in (management.VARIABLE, AMQP_VARIABLE, *S3_VARIABLES.values())
        if not environment.get(name)
    ]
    if missing := [name for name in asked if name != optional]:
        raise LaundryError(f"Not set: {', '.join(missing)}")
    plain = {name: _libpq(url) for name, url in databases.items() if url}
    keys = {name: environment.get(each) or None for name, each in S3_VARIABLES.items()}
    bucket = Bucket(
        keys["endpoint_url"], str(keys["bucket"]), str(keys["access_key"]), str(keys["secret_key"])
    )
    broker = management.target(environment[management.VARIABLE])
    return System(plain, broker, environment[AMQP_VARIABLE].split(","), bucket, local=False)


def chosen(paths: StackPaths) -> System:
    """Return the environment's system, else this machine's. Raises LaundryError."""
    return of_environment() or running(paths)


def _database(environment: Mapping[str, str], name: str) -> str | None:
    owner = environment.get(variable(OWNER_VARIABLE, name))
    return owner or environment.get(variable(DATABASE_VARIABLE, name))


def _libpq(url: str) -> str:
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)
