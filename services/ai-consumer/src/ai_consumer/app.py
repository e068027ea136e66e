"""Wires the AI consumer together."""

from fastapi import FastAPI

from ai_consumer.api import router
from ai_consumer.champion import Champion
from ai_consumer.pipeline import Pipeline
from ai_consumer.presence import Presence, replica_name
from ai_consumer.settings import Settings
from ai_consumer.shadow import ShadowReader
from ai_consumer.subscribers import subscribe
from laundry_events import EventConsumer, Publisher, make_broker
from laundry_events.topology import PLAN
from laundry_reading.signing import TrustedKeys
from laundry_service.app import make_app
from laundry_service.health import Check
from laundry_service.letters import message_signer
from laundry_service.needs import object_store_dependency
from laundry_service.objectstore import ObjectStore
from laundry_service.settings import version_of

VERSION = version_of("ai-consumer")


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the app; settings come from the environment unless given."""
    settings = settings or Settings()
    store = ObjectStore(settings, threads=settings.photos_in_memory + 1)
    trusted = TrustedKeys.parse(settings.model_public_keys)
    champion = Champion(store, trusted, settings.model_dir, poll_s=settings.champion_poll_s)
    shadow = ShadowReader(store, trusted, champion, poll_s=settings.champion_poll_s)
    presence = Presence(store, champion, shadow, name=replica_name(settings.port))
    pipeline = Pipeline(store, champion, shadow, photos_in_memory=settings.photos_in_memory)
    amqp_url = settings.amqp_url.get_secret_value()
    publisher = Publisher(amqp_url, source=settings.service_name)
    broker = make_broker(
        amqp_url, service=settings.service_name, graceful_timeout_s=settings.graceful_timeout_s
    )
    consumer = EventConsumer(
        broker,
        publisher,
        PLAN,
        service=settings.service_name,
        service_version=VERSION,
        drills=settings.drills,
        signer=message_signer(settings),
        dependencies=[object_store_dependency(store)],
    )
    subscribe(consumer, publisher, pipeline, champion, prefetch=settings.prefetch)
    app = make_app(
        settings,
        title="AI consumer",
        version=VERSION,
        description="Reads the photos of submitted tasks with the champion model.",
        parts=[champion, shadow, presence],
        checks=[Check("model", champion.ready), Check("object-store", store.ping)],
        publisher=publisher,
        broker=broker,
        able=champion.able,
        on_close=[pipeline.close, store.close],
    )
    app.include_router(router(champion))
    return app
