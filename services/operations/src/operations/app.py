"""Puts the operations service together."""

import time

from fastapi import FastAPI

from laundry_service.app import make_app
from laundry_service.audit.heads import EVERY_S, head_teller
from laundry_service.background.periodic import Periodic
from laundry_service.http.health import Check
from laundry_service.settings import version_of
from operations.api.jobs import acts_router, jobs_router
from operations.api.letters import audit_router, letters_router, queues_router
from operations.management import Management, ManagementAway
from operations.queue_health import Ages
from operations.repository import Store
from operations.service import sampling
from operations.service.jobs import Runner
from operations.service.letters import Reading
from operations.settings import Settings
from operations.stream import JobNews

SERVICE = "operations"
VERSION = version_of(SERVICE)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the app. It connects to the broker only while somebody looks or a job runs."""
    settings = settings or Settings()
    amqp_url = settings.amqp_url.get_secret_value()
    store = Store(settings.database_url.get_secret_value(), pool=settings.database_pool)
    management, ages = Management(settings.management_urls, amqp_url), Ages()
    reading = Reading(amqp_url, store, scan=settings.scan)
    runner = Runner(amqp_url, store, reading, scan=settings.scan, step_s=settings.job_step_s)

    news = JobNews(store)

    async def sample() -> None:
        try:
            queues = await management.queues()
        except ManagementAway:
            sampling.hide()
            raise
        now = time.monotonic()
        for counts in queues.values():
            ages.observe(counts, now)
        sampling.show(queues, ages, now)

    return make_app(
        settings,
        title="Operations",
        version=VERSION,
        description="Queues, dead letters, and who did what to them. For operators only.",
        background=[
            runner,
            news,
            Periodic("samples", sample, every_s=settings.samples_every_s),
            Periodic("audit-head", head_teller(store.audit_head), every_s=EVERY_S),
        ],
        checks=[Check("database", store.ping)],
        routers=[
            queues_router(management, ages),
            acts_router(store, reading, runner),
            letters_router(reading, store),
            jobs_router(store, runner, news),
            audit_router(store),
        ],
        on_close=[store.close],
    )
