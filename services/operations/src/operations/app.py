"""Builds the operations app."""

from fastapi import FastAPI

from laundry_service.app import make_app
from laundry_service.audit.heads import EVERY_S, head_teller
from laundry_service.background.periodic import Periodic
from laundry_service.http.health import Check
from laundry_service.settings import version_of
from operations.api.audit import audit_router
from operations.api.jobs import acts_router, jobs_router
from operations.api.letters import letters_router
from operations.api.queues import queues_router
from operations.management import Management
from operations.queue_health import Ages
from operations.repository import Store
from operations.service.jobs import JobRunner
from operations.service.letters import LetterReader
from operations.service.sampling import QueueSampler
from operations.settings import Settings
from operations.stream import JobChanges

SERVICE = "operations"
VERSION = version_of(SERVICE)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the app. It connects to the broker only while somebody looks or a job runs."""
    settings = settings or Settings()
    amqp_url = settings.amqp_url.get_secret_value()
    store = Store(settings.database_url.get_secret_value(), pool=settings.database_pool)
    management, ages = Management(settings.management_urls, amqp_url), Ages()
    letters = LetterReader(amqp_url, store, scan=settings.scan)
    runner = JobRunner(amqp_url, store, letters, scan=settings.scan, step_s=settings.job_step_s)
    sampler = QueueSampler(management, ages)
    changes = JobChanges(store)
    return make_app(
        settings,
        title="Operations",
        version=VERSION,
        description="Queues, dead letters, and who did what to them. For operators only.",
        background=[
            runner,
            changes,
            Periodic("samples", sampler.sample, every_s=settings.samples_every_s),
            Periodic("audit-head", head_teller(store.audit_head), every_s=EVERY_S),
        ],
        checks=[Check("database", store.ping)],
        routers=[
            queues_router(management, ages),
            acts_router(store, letters, runner),
            letters_router(letters, store),
            jobs_router(store, runner, changes),
            audit_router(store),
        ],
        on_close=[store.close],
    )
