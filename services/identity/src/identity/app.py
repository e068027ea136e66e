"""Builds the identity app: JSON like every service, and the pages and the OpenID provider by Django."""

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from identity.asgi import django_app, security_headers
from identity.routing import Elsewhere
from identity.secret_paths import keep_out_of_the_log
from identity.settings import Settings
from identity.style import style_router
from identity.subscribers import subscribe
from laundry_events import Outbox
from laundry_service.app import make_app
from laundry_service.audit import heads
from laundry_service.auth.issuer import TrustedIssuer
from laundry_service.background.periodic import Periodic
from laundry_service.http.health import Check
from laundry_service.http.security_headers import SecurityHeaders
from laundry_service.messaging.wiring import Messaging
from laundry_service.personal_data.erasing import Erasures
from laundry_service.personal_data.http import personal_data_router
from laundry_service.settings import version_of
from laundry_service.storage.database import Database

SERVICE = "identity"
VERSION = version_of(SERVICE)
EVENTS_POOL = 2
# Packages whose static files the pages show.
STATIC = ("laundry_look", "django.contrib.admin")


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the app; without settings they are read from the environment."""
    settings = settings or Settings()
    django = django_app(settings)
    keep_out_of_the_log()
    # Django's models can be imported only once it is configured.
    from identity.database import in_database, ping  # noqa: PLC0415
    from identity.oidc import housekeeping  # noqa: PLC0415
    from identity.oidc.preparation import Preparation  # noqa: PLC0415
    from identity.people import repository  # noqa: PLC0415
    from identity.people.api.routers import people_routers  # noqa: PLC0415
    from identity.people.service.erasing import People  # noqa: PLC0415

    preparation = Preparation(settings)
    database_of_events = Database(settings.database_url.get_secret_value(), pool=EVENTS_POOL)
    messaging = Messaging(settings, service=SERVICE, version=VERSION, relays_outbox_of=database_of_events)
    people = People(database_of_events)
    subscribe(messaging.consumer, Erasures(database_of_events, Outbox(SERVICE), people))
    routers = [*people_routers(settings.issuer), personal_data_router(people)]

    async def database() -> bool:
        return await in_database(ping)

    async def keep_house() -> None:
        await in_database(housekeeping.delete_what_is_over)

    async def keep_counts() -> None:
        await in_database(housekeeping.delete_counts_that_are_over)

    async def audit_head() -> tuple[int, str] | None:
        return await in_database(repository.audit_head)

    app = make_app(
        trusting_itself(settings),
        title="Identity",
        version=VERSION,
        description="Signs people and equipment in, and says who may do what.",
        messaging=messaging,
        # People sign in while the broker is away.
        ready_without_broker=True,
        background=[
            preparation,
            Periodic("housekeeping", keep_house, every_s=housekeeping.EVERY_S),
            Periodic("counts", keep_counts, every_s=housekeeping.COUNTS_EVERY_S),
            Periodic("audit-head", heads.head_teller(audit_head), every_s=heads.EVERY_S),
        ],
        checks=[Check("database", database), Check("preparation", preparation.is_done)],
        routers=routers,
        on_close=[database_of_events.close],
    )
    app.include_router(style_router())
    app.mount("/static", StaticFiles(packages=[(package, "static") for package in STATIC]))
    app.router.routes.append(Elsewhere(django, routers))
    app.add_middleware(SecurityHeaders, headers=security_headers(settings), public_https=settings.by_tls)
    return app


def trusting_itself(settings: Settings) -> Settings:
    """Return settings with which its own tokens are taken, held against keys that it asks itself for.

    At the loopback address: while nobody else gets through to a service that is not ready, it would wait for
    itself.
    """
    here = f"http://127.0.0.1:{settings.port}"
    own = {
        "jwks_url": f"{here}/.well-known/jwks.json",
        "deny_list_url": f"{here}/deny-list.json",
    }
    if settings.jwt_issuer == settings.issuer:
        return settings.model_copy(update=own)
    itself = TrustedIssuer(issuer=settings.issuer, audience=settings.jwt_audience, subject_prefix="", **own)
    others = [each for each in settings.trusted_issuers if each.issuer != settings.issuer]
    return settings.model_copy(update={"trusted_issuers": (*others, itself)})
