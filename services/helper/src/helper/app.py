"""Builds the helper's app."""

from datetime import timedelta
from functools import partial
from zoneinfo import ZoneInfo

from fastapi import FastAPI

from helper.api.batches import batches_router
from helper.api.confirmation import confirmation_router
from helper.api.history import history_router
from helper.api.photos import photos_router
from helper.api.pieces import pieces_router
from helper.api.policies import policies_router
from helper.api.previews import previews_router
from helper.api.problems import install_store_problems
from helper.api.submission import submission_router
from helper.api.tasks import tasks_router
from helper.api.uploads import Limits
from helper.decoder import Decoder
from helper.repository.held import HELD
from helper.retention import Limits as PhotoLimits
from helper.service.confirmation import Confirmations
from helper.service.housekeeping import drop_pieces, forget
from helper.service.pictures import PictureService
from helper.service.pieces import Pieces
from helper.service.policies import PhotoPolicies
from helper.service.previews import Previews
from helper.service.retention import PhotoRetention
from helper.service.submission import Submissions
from helper.settings import Settings
from helper.stream import changed_tasks
from helper.subscribers import subscribe
from helper.sweep import count_orphans
from helper.tables import TASKS_CHANNEL
from laundry_events import Outbox
from laundry_service.app import make_app
from laundry_service.background.periodic import Periodic
from laundry_service.http.health import Check
from laundry_service.messaging.wiring import Messaging
from laundry_service.personal_data.erasing import Erasures
from laundry_service.personal_data.held import PersonalData
from laundry_service.personal_data.http import personal_data_router
from laundry_service.settings import version_of
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore, ObjectStoreUnavailable
from laundry_service.streams.changes import Changes


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the helper's app from its settings (default: the environment)."""
    settings = settings or Settings()
    name, version = settings.service_name, version_of("helper")
    zone = ZoneInfo(settings.time_zone)
    database = Database(settings.database_url.get_secret_value(), pool=settings.database_pool)
    store = ObjectStore(settings)
    decoder = Decoder(
        processes=settings.decoder_processes,
        waiting=settings.decoder_waiting,
        patience_s=settings.decoder_patience_s,
        idle_s=settings.decoder_idle_s,
    )
    changes = Changes(database.url, TASKS_CHANNEL, changed_tasks(database))
    submissions = Submissions(
        database,
        store,
        decoder,
        source=name,
        max_bytes=settings.photo_max_bytes,
        max_pixels=settings.photo_max_pixels,
        same_photo_s=settings.same_photo_s,
        retake_within_s=settings.retake_within_s,
    )
    limits = Limits(settings.photo_max_bytes, settings.upload_idle_s, settings.upload_total_s)
    pieces = Pieces(
        store,
        helper_bytes=settings.upload_pieces_bytes,
        keep=timedelta(seconds=settings.upload_pieces_keep_s),
    )
    messaging = Messaging(settings, service=name, version=version, relays_outbox_of=database)
    held, outbox = PersonalData(database, HELD), Outbox(name)
    subscribe(
        messaging.consumer,
        database,
        Erasures(database, outbox, held),
        prefetch=settings.task_read_prefetch,
    )
    pictures = PictureService(database, store, decoder)
    kept = PhotoLimits.of_days(settings.photo_keep_days, settings.photo_keep_unconfirmed_days)
    app = make_app(
        settings,
        title="Laundry helper",
        version=version,
        description="Photos in, tasks listed, readings confirmed.",
        database=database,
        messaging=messaging,
        # Uploads go on without the broker; the outbox drains when it is back.
        ready_without_broker=True,
        background=[
            changes,
            PhotoRetention(database, store, outbox, pictures, kept, every_s=settings.photo_retention_every_s),
            Periodic(
                "orphans",
                partial(count_orphans, database, store),
                every_s=settings.orphans_every_s,
                at_once=False,
                expected=(ObjectStoreUnavailable,),
            ),
            Periodic(
                "housekeeping",
                partial(forget, database, tasks_kept=timedelta(days=settings.tasks_kept_days)),
                every_s=settings.housekeeping_every_s,
                at_once=False,
            ),
            Periodic(
                "begun uploads",
                partial(drop_pieces, database, pieces),
                every_s=settings.housekeeping_every_s,
                at_once=False,
                expected=(ObjectStoreUnavailable,),
            ),
        ],
        checks=[Check("photo store", store.ping, required=False)],
        routers=[
            submission_router(submissions, pieces, limits),
            batches_router(submissions, limits),
            previews_router(
                Previews(messaging.asks(), decoder, max_pixels=settings.photo_max_pixels), limits
            ),
            # Before the tasks: theirs would take their paths for a task's id.
            pieces_router(pieces, submissions, limits),
            history_router(database, zone),
            tasks_router(database, changes, settings.labels, zone),
            photos_router(database, store, pictures),
            confirmation_router(Confirmations(database, outbox, settings.labels)),
            policies_router(PhotoPolicies(database, kept)),
            personal_data_router(held),
        ],
        on_close=[decoder.close],
        large_bodies=["/tasks", "/tasks/batch", "/tasks/uploads", "/previews"],
    )
    install_store_problems(app)
    return app
