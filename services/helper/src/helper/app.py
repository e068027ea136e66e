"""Wires the helper service together."""

from fastapi import FastAPI

from helper.api import Deps, router
from helper.decoder import Decoder
from helper.housekeeping import forget
from helper.problems import install_store_problems
from helper.settings import Settings
from helper.showing import Showing
from helper.stream import changed_tasks
from helper.submitting import Submitting
from helper.subscribers import subscribe
from helper.tables import TASKS_CHANNEL
from laundry_events import EventConsumer, Outbox, Publisher, Relay, make_broker
from laundry_service.app import make_app
from laundry_service.background.periodic import Periodic
from laundry_service.database import Database
from laundry_service.health import Check
from laundry_service.letters import letter_signer
from laundry_service.needs import needs_database
from laundry_service.objectstore import ObjectStore
from laundry_service.settings import version_of
from laundry_service.streams import Changes


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the helper's app from its settings (default: the environment)."""
    settings = settings or Settings()
    name, version = settings.service_name, version_of("helper")
    database_url = settings.database_url.get_secret_value()
    amqp_url = settings.amqp_url.get_secret_value()
    database = Database(database_url, pool=settings.database_pool)
    store = ObjectStore(settings)
    outbox = Outbox(name)
    publisher = Publisher(amqp_url, source=name)
    broker = make_broker(amqp_url, service=name, graceful_timeout_s=settings.graceful_timeout_s)
    consumer = EventConsumer(
        broker,
        publisher,
        service=name,
        service_version=version,
        drills=settings.drills,
        signer=letter_signer(settings),
        needs=[needs_database(database)],
    )
    subscribe(consumer, database, prefetch=settings.task_read_prefetch)
    changes = Changes(database_url, TASKS_CHANNEL, changed_tasks(database))
    decoder = Decoder(
        processes=settings.decoder_processes,
        waiting=settings.decoder_waiting,
        patience_s=settings.decoder_patience_s,
        idle_s=settings.decoder_idle_s,
    )
    showing = Showing(database, store, decoder)
    submitting = Submitting(
        database,
        store,
        decoder,
        source=name,
        max_bytes=settings.photo_max_bytes,
        max_pixels=settings.photo_max_pixels,
        same_photo_s=settings.same_photo_s,
    )
    app = make_app(
        settings,
        title="Laundry helper",
        version=version,
        description="Photos in, tasks listed, readings confirmed.",
        parts=[
            Relay(database_url, publisher),
            changes,
            Periodic(
                "housekeeping",
                lambda: forget(database),
                every_s=settings.housekeeping_every_s,
                at_once=False,
            ),
        ],
        checks=[Check("database", database.ping), Check("photo store", store.ping, required=False)],
        publisher=publisher,
        broker=broker,
        # Uploads go on without the broker; the outbox drains when it is back.
        broker_required=False,
        on_close=[decoder.close, database.close, store.close],
        large_bodies=["/tasks"],
    )
    install_store_problems(app)
    app.include_router(router(Deps(settings, database, store, outbox, submitting, showing, changes)))
    return app
