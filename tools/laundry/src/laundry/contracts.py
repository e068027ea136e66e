"""The documents that clients are built from: OpenAPI of each service, AsyncAPI of the whole.

``python -m laundry.generated`` writes them to ``docs/api``.
"""

import importlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

from fastapi import FastAPI

from laundry.paths import PROJECT
from laundry_catalogue import Service, documented_services
from laundry_events.asyncapi import asyncapi
from laundry_events.events import EVENTS
from laundry_events.topology import PLAN
from laundry_reading.signing import SigningKey
from laundry_service.auth.rsa_keys import new_key

FOLDER = PROJECT / "docs" / "api"

_KEY = SigningKey.generate()
# Building an app reads settings but contacts no server; these addresses are never used.
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
    "LAUNDRY_PUBLIC_URL": "https://identity.example",
    "LAUNDRY_WEB_URLS": "https://pages.example",
    "LAUNDRY_OIDC_CLIENT_SECRET": "none",
    "LAUNDRY_LETTER_KEY": 32 * "n",
    "LAUNDRY_SECRET_KEYS": 32 * "n",
    "LAUNDRY_SIGNING_KEYS": new_key(),
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


def app_of(service: Service) -> FastAPI:
    """Build a service's app, with settings that name no real server."""
    named = {"LAUNDRY_SERVICE_NAME": service.name, "LAUNDRY_LOG_LEVEL": "ERROR"}
    with _environment({**NOWHERE, **named, **service.environment}):
        app: FastAPI = importlib.import_module(f"{service.package}.app").create_app()
    return app


def openapi(service: Service) -> dict[str, Any]:
    """Return a service's OpenAPI document."""
    return app_of(service).openapi()


def documents() -> dict[str, str]:
    """Return every document by its file name, as it is committed."""
    made = {f"{service.name}.openapi.json": openapi(service) for service in documented_services()}
    made["events.asyncapi.json"] = asyncapi(
        PLAN, EVENTS, title="Smart Fitness Laundry events", version=metadata.version("laundry-events")
    )
    return {
        name: json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        for name, document in made.items()
    }
