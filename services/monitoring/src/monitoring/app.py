"""Builds the monitoring app."""

import asyncio

from fastapi import FastAPI

from laundry_events import Outbox
from laundry_service.app import make_app
from laundry_service.audit.heads import EVERY_S, head_teller
from laundry_service.audit.http import audit_router, head_of
from laundry_service.auth.principal import Principal
from laundry_service.background.periodic import Periodic
from laundry_service.messaging.wiring import Messaging
from laundry_service.personal_data.erasing import Erasures
from laundry_service.personal_data.held import PersonalData
from laundry_service.personal_data.http import personal_data_router
from laundry_service.settings import version_of
from laundry_service.storage.database import Database
from laundry_service.streams.changes import Changes
from monitoring.api.equipment import equipment_router
from monitoring.api.faults import faults_router
from monitoring.api.mqtt_auth import mqtt_auth_router
from monitoring.api.telemetry import telemetry_router
from monitoring.device_limits import DeviceLimits
from monitoring.repository.held import HELD
from monitoring.service.broker_probe import BrokerProbe
from monitoring.service.device_logins import DeviceLogins
from monitoring.service.equipment_monitor import EquipmentMonitor
from monitoring.service.fault_handling import FaultHandling
from monitoring.service.mqtt_authorization import MqttAuthorizer
from monitoring.service.mqtt_intake import MqttIntake
from monitoring.service.telemetry_intake import TelemetryIntake
from monitoring.settings import Settings
from monitoring.stream import changed_equipment
from monitoring.subscribers import subscribe
from monitoring.tables import CHANGES_CHANNEL


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the app; settings come from the environment unless given."""
    settings = settings or Settings()
    version = version_of("monitoring")
    database = Database(settings.database_url.get_secret_value(), pool=settings.database_pool)
    messaging = Messaging(settings, service=settings.service_name, version=version, relays_outbox_of=database)
    changes = Changes(database.url, CHANGES_CHANNEL, changed_equipment(database))
    intake = TelemetryIntake(settings, database)
    monitor = EquipmentMonitor(settings, database)
    probe = BrokerProbe(settings.amqp_url.get_secret_value(), service=settings.service_name)
    handling = FaultHandling(database, Outbox(settings.service_name), settings.escalation)
    limits = DeviceLimits(
        rate=settings.device_rate,
        burst=settings.device_burst,
        dead_letters_h=settings.device_dead_letters_h,
    )

    def is_allowed(principal: Principal) -> bool:
        return bool(app.state.authenticator.allows(principal))

    logins = DeviceLogins(database, is_allowed)
    held = PersonalData(database, HELD, audited=True)
    subscribe(
        messaging.consumer,
        MqttIntake(intake, logins, limits),
        Erasures(database, Outbox(settings.service_name), held),
        prefetch=settings.telemetry_prefetch,
    )
    authorizer = MqttAuthorizer(
        vhost=settings.mqtt_vhost, exchange=settings.mqtt_exchange, logins=logins, wait_s=limits.wait_s
    )
    known = (settings.mqtt_auth_secret, settings.mqtt_auth_secret_before)

    async def hears_mqtt() -> bool:
        return await messaging.connected() and await probe.takes_messages()

    async def look_for_silence() -> None:
        async with asyncio.timeout(30):
            await monitor.look_for_silence(hears_mqtt)

    async def alert_due() -> None:
        async with asyncio.timeout(30):
            await monitor.alert_due()

    async def escalate_due() -> None:
        async with asyncio.timeout(30):
            await handling.escalate_due()

    app = make_app(
        settings,
        title="Monitoring",
        version=version,
        description="Equipment telemetry in, faults out.",
        database=database,
        messaging=messaging,
        ready_without_broker=True,
        background=[
            changes,
            probe,
            Periodic("heartbeats", look_for_silence, every_s=settings.heartbeat_check_s),
            Periodic("audit-head", head_teller(head_of(database)), every_s=EVERY_S),
            Periodic("rings", alert_due, every_s=settings.ring_check_s),
            Periodic("escalations", escalate_due, every_s=settings.escalation_check_s),
            Periodic("prune", monitor.prune, every_s=settings.prune_every_s),
        ],
        routers=[
            telemetry_router(intake, limits, max_bytes=settings.telemetry_max_bytes),
            audit_router(database, prefix="/equipment", tag="equipment"),
            equipment_router(database, changes, monitor),
            faults_router(database, handling),
            mqtt_auth_router(authorizer, secrets=[each.get_secret_value() for each in known if each]),
            personal_data_router(held),
        ],
        large_bodies=["/telemetry"],
    )
    return app
