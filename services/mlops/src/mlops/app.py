"""Builds the MLOps app."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI

from laundry_events import Outbox
from laundry_service.app import make_app
from laundry_service.audit.heads import EVERY_S, head_teller
from laundry_service.audit.http import audit_router, head_of
from laundry_service.background.periodic import Periodic
from laundry_service.http.health import Check
from laundry_service.messaging.wiring import Messaging
from laundry_service.personal_data.erasing import Erasures
from laundry_service.personal_data.held import PersonalData
from laundry_service.personal_data.http import personal_data_router
from laundry_service.settings import version_of
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore
from laundry_service.streams.changes import Changes
from mlops.api.examples import examples_router
from mlops.api.models import models_router
from mlops.api.replicas import replicas_router
from mlops.api.runs import runs_router
from mlops.api.stream import changed_runs
from mlops.full.requirements import ClusterRequirements, LocalRequirements, Requirements
from mlops.launching.launcher import Launcher
from mlops.launching.processes import Processes
from mlops.manifests import Manifests
from mlops.replicas import Replicas
from mlops.repository.held import HELD
from mlops.retraining import Rules
from mlops.service.policy import Policy
from mlops.service.reconciler import Reconciler
from mlops.service.registry import Registry
from mlops.service.runner import Runner
from mlops.service.runs import Runs
from mlops.service.shadow import Shadowing
from mlops.settings import Settings
from mlops.subscribers import subscribe
from mlops.tables import RUNS_CHANNEL

VERSION = version_of("mlops")


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the app; settings come from the environment unless given."""
    settings = settings or Settings()
    database = Database(settings.database_url.get_secret_value(), pool=settings.database_pool)
    store = ObjectStore(settings, at_once=4)
    manifests = Manifests(store, settings.model_signing_key, settings.model_public_keys)
    registry = Registry(database, store, Outbox(settings.service_name), manifests)
    reconciler = Reconciler(registry, database, settings.model_dir, signed_by=manifests.signed_by)
    launcher, requirements, close_launcher = _training(settings)
    runner = Runner(database, database.url, launcher, timeout_s=settings.run_timeout_s)
    policy = Policy(
        database,
        Rules(
            after_corrections=settings.retrain_after_corrections,
            every_hours=settings.retrain_every_h,
            on_drift=settings.retrain_on_drift,
            pause_hours=settings.retrain_pause_h,
        ),
    )
    replicas = Replicas(store)
    changes = Changes(database.url, RUNS_CHANNEL, changed_runs(database))
    messaging = Messaging(settings, service=settings.service_name, version=VERSION, relays_outbox_of=database)
    held = PersonalData(database, HELD, audited=True)
    erasures = Erasures(database, Outbox(settings.service_name), held)
    subscribe(messaging.consumer, database, erasures, prefetch=settings.prefetch)
    return make_app(
        settings,
        title="MLOps",
        version=VERSION,
        description="Collects confirmations as examples, keeps the models, retrains, judges and promotes.",
        database=database,
        messaging=messaging,
        ready_without_broker=True,
        background=[
            changes,
            reconciler,
            runner,
            policy,
            Periodic("audit-head", head_teller(head_of(database)), every_s=EVERY_S),
        ],
        checks=[
            # Confirmations are stored and models listed without it; endpoints that need it answer 503.
            Check("object-store", store.ping, required=False),
            Check("registry", reconciler.ready),
        ],
        routers=[
            audit_router(database, prefix="/models", tag="models"),
            replicas_router(database, replicas, Shadowing(database, registry, replicas)),
            models_router(database, registry),
            runs_router(database, changes, Runs(database, requirements)),
            examples_router(database),
            personal_data_router(held),
        ],
        on_close=close_launcher,
    )


def _training(settings: Settings) -> tuple[Launcher, Requirements, list[Callable[[], Awaitable[None]]]]:
    """Choose where training runs, and what to close on shutdown."""
    templates = settings.training_job_templates
    if settings.training_jobs == "process":
        return Processes(settings.as_environment()), LocalRequirements(settings), []
    if templates is None:
        raise LookupError("LAUNDRY_TRAINING_JOBS=kubernetes needs LAUNDRY_TRAINING_JOB_TEMPLATES.")
    # Imported where it is needed: elsewhere it would only cost memory.
    from mlops.launching.cluster import Cluster  # noqa: PLC0415
    from mlops.launching.kubernetes import KubernetesJobs  # noqa: PLC0415

    cluster = Cluster.of_this_pod()
    return KubernetesJobs(cluster, templates), ClusterRequirements(templates), [cluster.close]
