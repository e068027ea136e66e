"""Builds the identity app: JSON like every service, and the pages and the OpenID provider by Django."""

from fastapi import FastAPI

from identity.asgi import django_app
from identity.settings import Settings
from laundry_service.app import make_app
from laundry_service.http.health import Check
from laundry_service.settings import version_of

SERVICE = "identity"
VERSION = version_of(SERVICE)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the app; without settings they are read from the environment."""
    settings = settings or Settings()
    django = django_app(settings)
    # Django's models can be imported only once it is configured.
    from identity.database import in_database, ping  # noqa: PLC0415
    from identity.people.api import people_router  # noqa: PLC0415

    async def database() -> bool:
        return await in_database(ping)

    app = make_app(
        settings,
        title="Identity",
        version=VERSION,
        description="Signs people and equipment in, and says who may do what.",
        checks=[Check("database", database)],
        routers=[people_router()],
    )
    app.mount("/", django)
    return app
