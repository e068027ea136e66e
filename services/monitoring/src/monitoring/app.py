"""Wires the monitoring service together."""

import asyncio

from fastapi import FastAPI

from laundry_events import EventConsumer, Publisher, Relay, make_broker
from laundry_service.app import make_app
from laundry_service.audit.heads import EVERY_S, head_teller
from laundry_service.audit.http import audit_router, head_of
from laundry_service.background.periodic import Periodic
from laundry_service.database import Database
from laundry_service.health import Check
from laundry_service.letters import letter_signer
from laundry_service.needs import needs_database
from laundry_service.settings import version_of
from laundry_service.streams import Changes
from monitoring.api import equipment_router, telemetry_router
from monitoring.logins import Login, StoredLogins
from monitoring.monitor import Monitor
from monitoring.mqtt_auth import DeviceGate, mqtt_auth_router
from monitoring.settings import Settings
from monitoring.stream import changed_equipment
from monitoring.subscribers import subscribe
from monitoring.tables import CHANGES_CHANNEL
from monitoring.traffic import Traffic


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the app; settings come from the environment unless given."""
    settings = settings or Settings()
    version = version_of("monitoring")
    database_url = settings.database_url.get_secret_value()
    amqp_url = settings.amqp_url.get_secret_value()
    database = Database(database_url, pool=settings.database_pool)
    publisher = Publisher(amqp_url, source=settings.service_name)
    broker = make_broker(
        amqp_url, service=settings.service_name, graceful_timeout_s=settings.graceful_timeout_s
    )
    consumer = EventConsumer(
        broker,
        publisher,
        service=settings.service_name,
        service_version=version,
        drills=settings.drills,
        signer=letter_signer(settings),
        needs=[needs_database(database)],
    )
    changes = Changes(database_url, CHANGES_CHANNEL, changed_equipment(database))
    monitor = Monitor(settings, database)

    traffic = Traffic(
        rate=settings.device_rate,
        burst=settings.device_burst,
        dead_letters_h=settings.device_dead_letters_h,
    )

    def allows(login: Login) -> bool:
        return bool(app.state.authenticator.allows(login.principal))

    logins = StoredLogins(database, allows)

    async def hears_mqtt() -> bool:
        try:
            return await broker.ping(timeout=1.0)
        except Exception:  # not connected yet, in whichever way
            return False

    async def look_for_silence() -> None:
        async with asyncio.timeout(30):
            await monitor.look_for_silence(hears_mqtt)

    async def ring() -> None:
        async with asyncio.timeout(30):
            await monitor.ring()

    subscribe(consumer, monitor, logins.read, allows, traffic, prefetch=settings.telemetry_prefetch)
    app = make_app(
        settings,
        title="Monitoring",
        version=version,
        description="Equipment telemetry in, faults out.",
        parts=[
            Relay(database_url, publisher),
            changes,
            Periodic("heartbeats", look_for_silence, every_s=settings.heartbeat_check_s),
            Periodic("audit-head", head_teller(head_of(database)), every_s=EVERY_S),
            Periodic("rings", ring, every_s=settings.ring_check_s),
            Periodic("prune", monitor.prune, every_s=settings.prune_every_s),
        ],
        checks=[Check("database", database.ping)],
        publisher=publisher,
        broker=broker,
        broker_required=False,
        on_close=[database.close],
        large_bodies=["/telemetry"],
    )
    app.include_router(telemetry_router(monitor, traffic, max_bytes=settings.telemetry_max_bytes))
    app.include_router(audit_router(database, prefix="/equipment", tag="equipment"))
    app.include_router(equipment_router(database, changes, monitor))
    secret = settings.mqtt_auth_secret
    gate = DeviceGate(
        vhost=settings.mqtt_vhost, exchange=settings.mqtt_exchange, logins=logins, wait=traffic.wait
    )
    app.include_router(mqtt_auth_router(gate, secret=secret.get_secret_value() if secret else None))
    return app
