"""Puts the operations service together."""

import time

from fastapi import FastAPI

from laundry_service.app import make_app
from laundry_service.audit.heads import EVERY_S, head_teller
from laundry_service.background.periodic import Periodic
from laundry_service.health import Check
from laundry_service.settings import version_of
from operations import gauges
from operations.api import audit_router, letters_router, queues_router
from operations.following import JobNews
from operations.jobs_api import acts_router, jobs_router
from operations.management import Management, ManagementAway
from operations.reading import Reading
from operations.repository import Store
from operations.running import Runner
from operations.settings import Settings
from operations.warnings import Ages

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
            gauges.hide()
            raise
        now = time.monotonic()
        for counts in queues.values():
            ages.observe(counts, now)
        gauges.show(queues, ages, now)

    app = make_app(
        settings,
        title="Operations",
        version=VERSION,
        description="Queues, dead letters, and who did what to them. For operators only.",
        parts=[
            runner,
            news,
            Periodic("samples", sample, every_s=settings.samples_every_s),
            Periodic("audit-head", head_teller(store.audit_head), every_s=EVERY_S),
        ],
        checks=[Check("database", store.ping)],
        on_close=[store.close],
    )
    app.include_router(queues_router(management, ages))
    app.include_router(acts_router(store, reading, runner))
    app.include_router(letters_router(reading, store))
    app.include_router(jobs_router(store, runner, news))
    app.include_router(audit_router(store))
    return app
