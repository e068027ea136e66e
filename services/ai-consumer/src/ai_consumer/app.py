"""Builds the AI consumer's app."""

from fastapi import FastAPI

from ai_consumer.api import router
from ai_consumer.service.champion import Champion
from ai_consumer.service.pipeline import Pipeline
from ai_consumer.service.presence import Presence, replica_name
from ai_consumer.service.shadow import ShadowReader
from ai_consumer.settings import Settings
from ai_consumer.subscribers import subscribe
from laundry_reading.signing import TrustedKeys
from laundry_service.app import make_app
from laundry_service.http.health import Check
from laundry_service.messaging.dependencies import object_store_dependency
from laundry_service.messaging.wiring import Messaging
from laundry_service.settings import version_of
from laundry_service.storage.object_store import ObjectStore

VERSION = version_of("ai-consumer")


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the app; settings come from the environment unless given."""
    settings = settings or Settings()
    store = ObjectStore(settings, at_once=settings.photos_in_memory + 1)
    trusted = TrustedKeys.parse(settings.model_public_keys)
    champion = Champion(store, trusted, settings.model_dir, poll_s=settings.champion_poll_s)
    shadow = ShadowReader(store, trusted, champion, poll_s=settings.champion_poll_s)
    presence = Presence(store, champion, shadow, name=replica_name(settings.port))
    pipeline = Pipeline(store, champion, shadow, photos_in_memory=settings.photos_in_memory)
    messaging = Messaging(
        settings,
        service=settings.service_name,
        version=VERSION,
        depends_on=[object_store_dependency(store)],
        consumes_after=champion.loaded,
    )
    subscribe(messaging.consumer, messaging.publisher, pipeline, champion, prefetch=settings.prefetch)
    return make_app(
        settings,
        title="AI consumer",
        version=VERSION,
        description="Reads the photos of submitted tasks with the champion model.",
        messaging=messaging,
        background=[champion, shadow, presence],
        checks=[Check("model", champion.ready), Check("object-store", store.ping)],
        routers=[router(champion)],
        on_close=[pipeline.close],
    )
