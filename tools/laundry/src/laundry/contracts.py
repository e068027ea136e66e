"""Writes the documents that clients are built from: OpenAPI of each service, AsyncAPI of the whole.

``python -m laundry.contracts`` writes them to ``docs/api``; ``--check`` only compares.
"""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from laundry.paths import PROJECT
from laundry_events.asyncapi import asyncapi
from laundry_events.events import EVENTS
from laundry_events.topology import PLAN
from laundry_reading.signing import SigningKey

FOLDER = PROJECT / "docs" / "api"
SERVICES = ("helper", "ai_consumer", "mlops", "monitoring", "search", "notification", "operations")

_KEY = SigningKey.generate()
# Building an app reads its settings but asks no server; these addresses answer nobody.
NOWHERE = {
    "LAUNDRY_AMQP_URL": "amqp://nobody:nothing@127.0.0.1:9/",
    "LAUNDRY_DATABASE_URL": "postgresql+asyncpg://nobody:nothing@127.0.0.1:9/none",
    "LAUNDRY_S3_ENDPOINT_URL": "http://127.0.0.1:9",
    "LAUNDRY_S3_BUCKET": "none",
    "LAUNDRY_S3_ACCESS_KEY": "none",
    "LAUNDRY_S3_SECRET_KEY": "none",
    "LAUNDRY_JWKS_URL": "http://127.0.0.1:9/jwks.json",
    "LAUNDRY_JWT_ISSUER": "https://identity.example",
    "LAUNDRY_MANAGEMENT_URLS": '["http://127.0.0.1:9"]',
    "LAUNDRY_FCM_URL": "http://127.0.0.1:9",
    "LAUNDRY_MODEL_DIR": str(PROJECT / "models"),
    "LAUNDRY_MODEL_SIGNING_KEY": _KEY.text,
    "LAUNDRY_MODEL_PUBLIC_KEYS": _KEY.public.text,
}


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def app_of(package: str) -> FastAPI:
    """Build a service's app, which would find no server if it were started."""
    name = package.replace("_", "-")
    with _environment({**NOWHERE, "LAUNDRY_SERVICE_NAME": name, "LAUNDRY_LOG_LEVEL": "WARNING"}):
        app: FastAPI = importlib.import_module(f"{package}.app").create_app()
    return app


def openapi(package: str) -> dict[str, Any]:
    """Return a service's OpenAPI document."""
    return app_of(package).openapi()


def documents() -> dict[str, str]:
    """Return every document by its file name, as it is committed."""
    made = {f"{package.replace('_', '-')}.openapi.json": openapi(package) for package in SERVICES}
    made["events.asyncapi.json"] = asyncapi(
        PLAN, EVENTS, title="Smart Fitness Laundry events", version=metadata.version("laundry-events")
    )
    return {
        name: json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        for name, document in made.items()
    }


def outdated(folder: Path = FOLDER) -> list[str]:
    """Return the names of committed documents that differ from the code."""
    return [
        name
        for name, text in documents().items()
        if not (folder / name).exists() or (folder / name).read_text() != text
    ]


def main() -> int:
    """Write or check the documents."""
    parser = argparse.ArgumentParser(prog="python -m laundry.contracts", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare with what is committed")
    if parser.parse_args().check:
        names = outdated()
        for name in names:
            print(f"docs/api/{name} is out of date: run `make contracts`", file=sys.stderr)
        return int(bool(names))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (FOLDER / name).write_text(text)
        print(f"wrote docs/api/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
