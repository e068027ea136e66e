"""Builds the operations app."""

from datetime import timedelta

from fastapi import FastAPI

from laundry_events import Outbox
from laundry_service.app import make_app
from laundry_service.audit.heads import EVERY_S, head_teller
from laundry_service.background.periodic import Periodic
from laundry_service.http.health import Check
from laundry_service.messaging.wiring import Messaging
from laundry_service.personal_data.erasing import who_erases
from laundry_service.personal_data.held import PersonalData
from laundry_service.settings import version_of
from laundry_service.storage.database import Database
from operations.api.audit import audit_router
from operations.api.jobs import acts_router, jobs_router
from operations.api.letters import letters_router
from operations.api.people import people_router
from operations.api.queues import queues_router
from operations.management import Management, ManagementAway
from operations.queue_health import Ages
from operations.repository import Store
from operations.repository.erasures import HELD
from operations.service.certificates import CertificateWatch, encrypted
from operations.service.erasures import Erasures, ErasureWorker
from operations.service.exports import Exports
from operations.service.history import History
from operations.service.jobs import JobRunner
from operations.service.letters import LetterReader
from operations.service.sampling import QueueSampler
from operations.service.surroundings import PeopleInQueues
from operations.settings import Settings
from operations.stream import JobChanges
from operations.subscribers import subscribe

SERVICE = "operations"
VERSION = version_of(SERVICE)
PEOPLE_POOL = 3


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the app. It reads dead letters only while somebody looks or a job runs."""
    settings = settings or Settings()
    amqp_url = settings.amqp_url.get_secret_value()
    plan = settings.plan()
    store = Store(settings.database_url.get_secret_value(), pool=settings.database_pool)
    management = Management(settings.management_urls, amqp_url)
    ages = Ages([name for queue in plan.queues for name in queue.limits])
    letters = LetterReader(amqp_url, store, scan=settings.scan)
    runner = JobRunner(amqp_url, store, letters, scan=settings.scan, step_s=settings.job_step_s)
    sampler = QueueSampler(management, ages, plan)
    listeners = [*encrypted([amqp_url, *settings.management_urls]), *settings.tls_endpoints]
    certificates = CertificateWatch(listeners, amqp_url)
    changes = JobChanges(store)
    database = Database(settings.database_url.get_secret_value(), pool=PEOPLE_POOL)
    outbox, held = Outbox(SERVICE), PersonalData(database, HELD, audited=True)
    erasures = Erasures(database, outbox, who_erases(plan))
    worker = ErasureWorker(
        database,
        outbox,
        held,
        PeopleInQueues(
            amqp_url, store, management, ages, scan=settings.scan, lag_s=settings.counts_lag_s, plan=plan
        ),
        absent=settings.absent(),
        token_life=timedelta(seconds=settings.erasure_token_life_s),
        ask_again=timedelta(seconds=settings.erasure_ask_again_s),
        every_s=settings.erasure_check_s,
    )
    erasures.wake = worker.wake
    messaging = Messaging(settings, service=SERVICE, version=VERSION, relays_outbox_of=database)
    together = max(1, settings.history_prefetch // 2)
    history = History(database, messaging.publisher, together=together)
    subscribe(messaging.consumer, erasures, history, history_prefetch=settings.history_prefetch)
    return make_app(
        settings,
        title="Operations",
        version=VERSION,
        description="Queues, dead letters, and who did what to them. For operators only.",
        messaging=messaging,
        # Queues are looked at, and requests for erasure taken, while the broker is away.
        ready_without_broker=True,
        background=[
            runner,
            worker,
            changes,
            Periodic("samples", sampler.sample, every_s=settings.samples_every_s, expected=(ManagementAway,)),
            Periodic("certificates", certificates.look, every_s=settings.certificates_every_s),
            Periodic("audit-head", head_teller(store.audit_head), every_s=EVERY_S),
        ],
        checks=[Check("database", store.ping)],
        routers=[
            queues_router(management, ages, plan),
            acts_router(store, letters, runner),
            letters_router(letters, store, plan),
            jobs_router(store, runner, changes),
            audit_router(store),
            people_router(erasures, Exports(held, settings.peers())),
        ],
        on_close=[store.close, database.close],
    )
