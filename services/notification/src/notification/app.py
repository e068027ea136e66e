"""Builds the apps of the service's two processes.

``api``: HTTP, recommendations and their pushes. ``faults``: nothing but ``equipment.fault``, so that nothing
else can delay a fault (DD-02 §4.4.2.2.1: a queue of its own for the event that is urgent).
"""

from datetime import timedelta
from zoneinfo import ZoneInfo

from fastapi import FastAPI

from laundry_events import Outbox
from laundry_service.app import make_app
from laundry_service.background.periodic import Periodic
from laundry_service.messaging.dependencies import database_dependency
from laundry_service.messaging.wiring import Messaging
from laundry_service.personal_data.erasing import Erasures
from laundry_service.personal_data.held import PersonalData
from laundry_service.personal_data.http import personal_data_router
from laundry_service.settings import version_of
from laundry_service.storage.database import Database
from laundry_service.streams.changes import Changes
from notification.api.consent import consent_router
from notification.api.devices import devices_router
from notification.api.keyed_locks import KeyedLocks
from notification.api.notifications import notifications_router
from notification.api.own_devices import own_devices_router
from notification.api.web_push import web_push_router
from notification.fcm import FirebasePusher
from notification.push import PusherByDevice
from notification.repository.held import HELD
from notification.repository.retention import Retention
from notification.service.consents import Consents
from notification.service.device_registry import DeviceRegistry
from notification.service.device_trial import DeviceTrial
from notification.service.fault_intake import FaultIntake
from notification.service.fault_sender import FaultSender
from notification.service.housekeeping import Housekeeping
from notification.service.recommendation_admission import RecommendationAdmission
from notification.service.recommendation_intake import RecommendationIntake
from notification.service.recommendation_sender import RecommendationSender
from notification.settings import Settings
from notification.stream import changed_notifications, ids_of
from notification.subscribers import subscribe_faults, subscribe_people, subscribe_preferences
from notification.tables import CHANGES_CHANNEL
from notification.web_push.pusher import WebPusher
from notification.web_push.vapid import VapidKey

SERVICE = "notification"
VERSION = version_of(SERVICE)
MEASURE_EVERY_S = 15.0


class _Pushers(PusherByDevice):
    """Both ways, as the settings say."""

    def __init__(self, settings: Settings) -> None:
        self.phones = FirebasePusher(
            url=settings.fcm_url,
            credentials_file=settings.fcm_credentials_file,
            project_id=settings.fcm_project_id,
            attempt_timeout_s=settings.fcm_attempt_timeout_s,
        )
        self.key = (
            None
            if settings.web_push_private_key is None
            else VapidKey(settings.web_push_private_key.get_secret_value())
        )
        self.browsers = (
            None
            if self.key is None
            else WebPusher(
                key=self.key,
                subject=settings.web_push_subject or "",
                services=settings.push_services,
                attempt_timeout_s=settings.fcm_attempt_timeout_s,
            )
        )
        super().__init__(phones=self.phones, browsers=self.browsers)

    async def start(self) -> None:
        """Open the clients. Raises immediately if their credentials are unusable."""
        await self.phones.start()
        if self.browsers is not None:
            await self.browsers.start()

    async def stop(self) -> None:
        """Close the clients of the push services."""
        if self.browsers is not None:
            await self.browsers.stop()
        await self.phones.stop()


def _database(settings: Settings) -> Database:
    return Database(
        settings.database_url.get_secret_value(),
        pool=settings.database_pool,
        lock_timeout_s=settings.lock_timeout_s,
    )


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the ``api`` process."""
    settings = settings or Settings()
    zone = ZoneInfo(settings.time_zone)
    database = _database(settings)
    messaging = Messaging(settings, service=SERVICE, version=VERSION, relays_outbox_of=database)
    held = PersonalData(database, HELD)
    subscribe_people(messaging.consumer, Erasures(database, Outbox(SERVICE), held))
    changes = Changes(database.url, CHANGES_CHANNEL, changed_notifications(database), keys=ids_of)
    pusher = _Pushers(settings)
    sender = RecommendationSender(
        database,
        pusher,
        RecommendationAdmission(settings.telling, zone),
        per_second=settings.match_pushes_per_second,
        attempts=settings.match_push_attempts,
        attempt_s=settings.fcm_attempt_timeout_s,
    )
    intake = RecommendationIntake(database)
    subscribe_preferences(messaging.consumer, intake, sender, prefetch=settings.match_prefetch)
    kept = Retention(
        history=timedelta(days=settings.history_days),
        stale_device=timedelta(days=settings.device_stale_days),
        owner_known=timedelta(days=settings.owner_known_days),
    )
    housekeeping = Housekeeping(database, kept)
    registry = DeviceRegistry(database, max_devices=settings.max_devices_per_user)
    locks = KeyedLocks()
    public_key = None if pusher.key is None else pusher.key.public
    return make_app(
        settings,
        title="Notification",
        version=VERSION,
        description="Devices of owners and customers, and what they were told.",
        database=database,
        messaging=messaging,
        ready_without_broker=True,
        background=[
            changes,
            pusher,
            sender,
            Periodic("housekeeping", housekeeping.tidy, every_s=settings.housekeeping_every_s, at_once=False),
        ],
        routers=[
            devices_router(registry, locks),
            web_push_router(registry, locks, settings.push_services, public_key),
            own_devices_router(registry, DeviceTrial(database, pusher)),
            notifications_router(database, registry, changes),
            personal_data_router(held),
            consent_router(
                database,
                Consents(database, settings.telling),
                settings.telling,
                time_zone=settings.time_zone,
            ),
        ],
    )


def create_faults_app(settings: Settings | None = None) -> FastAPI:
    """Make the ``faults`` process: probes, the one consumer, and the sender of what it stored."""
    settings = settings or Settings()
    zone = ZoneInfo(settings.time_zone)
    database = _database(settings)
    pusher = _Pushers(settings)
    messaging = Messaging(
        settings,
        service=SERVICE,
        version=VERSION,
        process="notification-faults",
        depends_on=[database_dependency(database)],
    )
    sender = FaultSender(
        database,
        pusher,
        attempt_s=settings.fcm_attempt_timeout_s,
        at_once=settings.fault_pushes_at_once,
        per_branch=settings.fault_pushes_per_branch,
        zone=zone,
    )
    intake = FaultIntake(
        database,
        zone=zone,
        owner_known=timedelta(days=settings.owner_known_days),
        owners_at_once=settings.fault_owners_at_once,
        wake=sender.wake,
    )
    subscribe_faults(messaging.consumer, intake, prefetch=settings.fault_prefetch)
    return make_app(
        settings,
        title="Notification: faults",
        version=VERSION,
        description="Pushes equipment faults to owners; probes only.",
        database=database,
        messaging=messaging,
        background=[pusher, sender, Periodic("fault-metrics", sender.measure, every_s=MEASURE_EVERY_S)],
    )
