"""Wires the monitoring service together."""

import asyncio

from fastapi import FastAPI

from laundry_events import EventConsumer, Publisher, Relay, make_broker
from laundry_service.app import make_app
from laundry_service.audit.heads import EVERY_S, head_teller
from laundry_service.audit.http import audit_router, head_of
from laundry_service.database import Database
from laundry_service.health import Check
from laundry_service.needs import needs_database
from laundry_service.periodic import Periodic
from laundry_service.settings import version_of
from laundry_service.streams import Changes
from monitoring import repository
from monitoring.api import equipment_router, telemetry_router
from monitoring.monitor import Monitor
from monitoring.mqtt_auth import DeviceGate, mqtt_auth_router
from monitoring.settings import Settings
from monitoring.stream import changed_equipment
from monitoring.subscribers import subscribe
from monitoring.tables import CHANGES_CHANNEL


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
        needs=[needs_database(database)],
    )
    changes = Changes(database_url, CHANGES_CHANNEL, changed_equipment(database))
    monitor = Monitor(settings, database)

    async def login_branches(equipment_id: str) -> frozenset[str] | None:
        async with database.session() as session:
            return await repository.login_branches(session, equipment_id)

    async def note_login(equipment_id: str, branches: frozenset[str]) -> None:
        async with database.transaction() as session:
            await repository.store_login(session, equipment_id, branches)

    async def hears_mqtt() -> bool:
        try:
            return await broker.ping(timeout=1.0)
        except Exception:  # not connected yet, in whichever way
            return False

    async def look_for_silence() -> None:
        async with asyncio.timeout(30):
            await monitor.look_for_silence(hears_mqtt)

    subscribe(consumer, monitor, login_branches, prefetch=settings.telemetry_prefetch)
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
            Periodic("prune", monitor.prune, every_s=settings.prune_every_s),
        ],
        checks=[Check("database", database.ping)],
        publisher=publisher,
        broker=broker,
        broker_required=False,
        on_close=[database.close],
        large_bodies=["/telemetry"],
    )
    app.include_router(telemetry_router(monitor, max_bytes=settings.telemetry_max_bytes))
    app.include_router(audit_router(database, prefix="/equipment", tag="equipment"))
    app.include_router(equipment_router(database, changes, monitor))
    secret = settings.mqtt_auth_secret
    gate = DeviceGate(vhost=settings.mqtt_vhost, exchange=settings.mqtt_exchange, note_login=note_login)
    app.include_router(mqtt_auth_router(gate, secret=secret.get_secret_value() if secret else None))
    return app
