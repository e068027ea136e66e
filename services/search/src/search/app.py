"""Puts the search service together."""

from datetime import timedelta

from fastapi import FastAPI

from laundry_events import Outbox, Publisher, Relay
from laundry_service.app import make_app
from laundry_service.background.periodic import Periodic
from laundry_service.database import Database
from laundry_service.health import Check
from laundry_service.settings import version_of
from laundry_service.streams import Changes
from search.api import customers_router, matching_router, preferences_router
from search.housekeeping import EVERY_S, Housekeeping
from search.settings import Settings
from search.stating import Stating
from search.stream import new_matches
from search.tables import PREFERENCES_CHANNEL

SERVICE = "search"
VERSION = version_of(SERVICE)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the app. It publishes through its outbox and consumes nothing."""
    settings = settings or Settings()
    database_url = settings.database_url.get_secret_value()
    database = Database(database_url, pool=settings.database_pool)
    publisher = Publisher(settings.amqp_url.get_secret_value(), source=SERVICE)
    changes = Changes(
        database_url, PREFERENCES_CHANNEL, new_matches(database, threshold=settings.match_threshold)
    )
    stating = Stating(
        database, Outbox(SERVICE), threshold=settings.match_threshold, timeout_s=settings.match_timeout_s
    )
    housekeeping = Housekeeping(database, matches=timedelta(days=settings.matches_kept_days))
    app = make_app(
        settings,
        title="Search",
        version=VERSION,
        description="Customers' tastes, branches' preferences, and what suits whom.",
        parts=[
            Relay(database_url, publisher),
            changes,
            Periodic("housekeeping", housekeeping.tidy, every_s=EVERY_S, at_once=False),
        ],
        checks=[Check("database", database.ping)],
        publisher=publisher,
        broker_required=False,
        on_close=[database.close],
    )
    app.include_router(customers_router(database))
    app.include_router(matching_router(database, changes, threshold=settings.match_threshold))
    app.include_router(preferences_router(database, stating))
    return app
