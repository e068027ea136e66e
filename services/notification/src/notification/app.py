"""Puts the service's two processes together.

``api``: HTTP, recommendations and their pushes. ``faults``: nothing but ``equipment.fault``, so that nothing
else can delay a fault (DD-02 §4.4.2.2.1: a queue of its own for the event that is urgent).
"""

from datetime import timedelta
from zoneinfo import ZoneInfo

from fastapi import FastAPI

from laundry_events import EventConsumer, Publisher, make_broker
from laundry_service.app import make_app
from laundry_service.background.periodic import Periodic
from laundry_service.database import Database
from laundry_service.health import Check
from laundry_service.letters import letter_signer
from laundry_service.needs import needs_database
from laundry_service.settings import version_of
from laundry_service.streams import Changes
from notification.api import devices_router, history_router
from notification.fault_sender import FaultSender
from notification.faults import FaultAlerts
from notification.fcm import FirebasePusher
from notification.housekeeping import EVERY_S, Housekeeping
from notification.matches import Matches, MatchSender
from notification.settings import Settings
from notification.stream import changed_notifications, ids_of
from notification.subscribers import subscribe_faults, subscribe_matches
from notification.tables import CHANGES_CHANNEL

SERVICE = "notification"
VERSION = version_of(SERVICE)
MEASURE_EVERY_S = 15.0


def _pusher(settings: Settings) -> FirebasePusher:
    return FirebasePusher(
        url=settings.fcm_url,
        credentials_file=settings.fcm_credentials_file,
        project_id=settings.fcm_project_id,
        attempt_timeout_s=settings.fcm_attempt_timeout_s,
    )


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the ``api`` process."""
    settings = settings or Settings()
    url = settings.amqp_url.get_secret_value()
    database_url = settings.database_url.get_secret_value()
    zone = ZoneInfo(settings.time_zone)
    database = Database(database_url, pool=settings.database_pool, lock_timeout_s=settings.lock_timeout_s)
    publisher = Publisher(url, source=SERVICE)
    broker = make_broker(url, service=SERVICE, graceful_timeout_s=settings.graceful_timeout_s)
    consumer = EventConsumer(
        broker,
        publisher,
        service=SERVICE,
        service_version=VERSION,
        drills=settings.drills,
        signer=letter_signer(settings),
        needs=[needs_database(database)],
    )
    changes = Changes(database_url, CHANGES_CHANNEL, changed_notifications(database), keys=ids_of)
    pusher = _pusher(settings)
    sender = MatchSender(
        database,
        pusher,
        per_second=settings.match_pushes_per_second,
        attempts=settings.match_push_attempts,
        attempt_s=settings.fcm_attempt_timeout_s,
    )
    matches = Matches(database, pushes_per_day=settings.match_pushes_per_day, zone=zone)
    subscribe_matches(consumer, matches, sender, prefetch=settings.match_prefetch)
    housekeeping = Housekeeping(
        database,
        history=timedelta(days=settings.history_days),
        stale_device=timedelta(days=settings.device_stale_days),
        owner_known=timedelta(days=settings.owner_known_days),
    )
    app = make_app(
        settings,
        title="Notification",
        version=VERSION,
        description="Devices of owners and customers, and what they were told.",
        parts=[
            changes,
            pusher,
            sender,
            Periodic("housekeeping", housekeeping.tidy, every_s=EVERY_S, at_once=False),
        ],
        checks=[Check("database", database.ping)],
        publisher=publisher,
        broker=broker,
        broker_required=False,
        on_close=[database.close],
    )
    app.include_router(devices_router(database, at_most=settings.max_devices_per_user))
    app.include_router(history_router(database, changes))
    return app


def create_faults_app(settings: Settings | None = None) -> FastAPI:
    """Make the ``faults`` process: probes, the one consumer, and who pushes what it stored."""
    settings = settings or Settings()
    url = settings.amqp_url.get_secret_value()
    zone = ZoneInfo(settings.time_zone)
    database = Database(
        settings.database_url.get_secret_value(),
        pool=settings.database_pool,
        lock_timeout_s=settings.lock_timeout_s,
    )
    publisher = Publisher(url, source=SERVICE)
    broker = make_broker(url, service="notification-faults", graceful_timeout_s=settings.graceful_timeout_s)
    pusher = _pusher(settings)
    consumer = EventConsumer(
        broker,
        publisher,
        service=SERVICE,
        service_version=VERSION,
        drills=settings.drills,
        signer=letter_signer(settings),
        needs=[needs_database(database)],
    )
    sender = FaultSender(
        database,
        pusher,
        attempt_s=settings.fcm_attempt_timeout_s,
        at_once=settings.fault_pushes_at_once,
        per_branch=settings.fault_pushes_per_branch,
        zone=zone,
    )
    alerts = FaultAlerts(
        database, zone=zone, owner_known=timedelta(days=settings.owner_known_days), wake=sender.wake
    )
    subscribe_faults(consumer, alerts, prefetch=settings.fault_prefetch)
    return make_app(
        settings,
        title="Notification: faults",
        version=VERSION,
        description="Pushes equipment faults to owners; probes only.",
        parts=[pusher, sender, Periodic("fault-metrics", sender.measure, every_s=MEASURE_EVERY_S)],
        checks=[Check("database", database.ping)],
        publisher=publisher,
        broker=broker,
        on_close=[database.close],
    )
