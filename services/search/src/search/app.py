"""Builds the search app."""

from datetime import timedelta
from functools import partial

from fastapi import FastAPI

from laundry_events import Outbox
from laundry_service.app import make_app
from laundry_service.background.periodic import Periodic
from laundry_service.messaging.wiring import Messaging
from laundry_service.personal_data.erasing import Erasures
from laundry_service.personal_data.held import PersonalData
from laundry_service.personal_data.http import personal_data_router
from laundry_service.settings import version_of
from laundry_service.storage.database import Database
from laundry_service.streams.changes import Changes
from search.api.matching import matching_router
from search.api.preferences import preferences_router
from search.api.tags import tags_router
from search.api.tastes import tastes_router
from search.repository.held import HELD
from search.service.housekeeping import forget_old_matches
from search.service.preferences import Preferences
from search.service.tastes import Tastes
from search.settings import Settings
from search.stream import new_matches
from search.subscribers import subscribe
from search.tables import PREFERENCES_CHANNEL

SERVICE = "search"
VERSION = version_of(SERVICE)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the app. It publishes through its outbox and consumes only who is to be forgotten."""
    settings = settings or Settings()
    database = Database(settings.database_url.get_secret_value(), pool=settings.database_pool)
    changes = Changes(
        database.url, PREFERENCES_CHANNEL, new_matches(database, threshold=settings.match_threshold)
    )
    outbox, held = Outbox(SERVICE), PersonalData(database, HELD)
    messaging = Messaging(settings, service=SERVICE, version=VERSION, relays_outbox_of=database)
    subscribe(messaging.consumer, Erasures(database, outbox, held))
    preferences = Preferences(
        database, outbox, threshold=settings.match_threshold, timeout_s=settings.match_timeout_s
    )
    keep = timedelta(days=settings.matches_kept_days)
    return make_app(
        settings,
        title="Search",
        version=VERSION,
        description="Customers' tastes, branches' preferences, and what suits whom.",
        database=database,
        messaging=messaging,
        ready_without_broker=True,
        background=[
            changes,
            Periodic(
                "housekeeping",
                partial(forget_old_matches, database, keep),
                every_s=settings.housekeeping_every_s,
                at_once=False,
            ),
        ],
        routers=[
            tastes_router(database, Tastes(database)),
            tags_router(database),
            matching_router(database, changes, threshold=settings.match_threshold),
            preferences_router(database, preferences),
            personal_data_router(held),
        ],
    )
