"""What must be in the database before anybody can sign in."""

import math

import structlog
from django.db import connection

from identity.database import in_database
from identity.oidc.clients import ensure_web_client
from identity.oidc.first_operator import ensure_first_operator
from identity.settings import Settings
from laundry_service.background.task import BackgroundTask

AGAIN_S = 1.0
LOCK = 0x1DE27

log = structlog.get_logger(__name__)


class Preparation(BackgroundTask):
    """Makes what the settings name, once, as soon as the database is there."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings. Nothing is made yet."""
        super().__init__("preparation", self._prepare, every_s=math.inf, retry_s=AGAIN_S)
        self._settings = settings
        self._done = False

    async def is_done(self) -> bool:
        """Whether it is there."""
        return self._done

    async def _prepare(self) -> None:
        await in_database(self._make)
        self._done = True

    def _make(self) -> None:
        with connection.cursor() as cursor:
            # Replicas start together.
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        ensure_web_client(self._settings)
        if ensure_first_operator(self._settings):
            log.info("the first operator was made")
