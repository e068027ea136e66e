"""Takes ``PersonErased`` and answers ``PersonForgotten``, by the service's inbox and outbox."""

from datetime import UTC, datetime

import structlog

from laundry_events import EventConsumer, EventMeta, Outbox, claim_once
from laundry_events.events import EVENTS, PersonErased, PersonForgotten
from laundry_events.plan import Plan
from laundry_events.topology import PERSON_ERASED, PLAN
from laundry_service.personal_data.held import PersonalData
from laundry_service.storage.database import Database

# The request itself has to say who is to be forgotten.
NAMING = {event.routing_key: event for event in EVENTS if event is not PersonErased}

log = structlog.get_logger(__name__)


class Erasures:
    """Erases people from one service's database and says so."""

    def __init__(self, database: Database, outbox: Outbox, data: PersonalData) -> None:
        """Publish in the name of the outbox's service."""
        self._database = database
        self._outbox = outbox
        self._data = data

    async def erase(self, event: PersonErased, meta: EventMeta) -> None:
        """Erase the person, then claim the message and answer in one transaction.

        What stops it before that has the message delivered again, and it goes on with the rows that are left.
        """
        rows = await self._data.erase(event.person_id, event.tombstone)
        async with self._database.transaction() as session:
            if not await claim_once(session, f"{self._outbox.source}.person-erased", meta.id):
                return
            if waiting := await self._outbox.forget(session, event.person_id, event.tombstone, NAMING):
                rows["waiting_events"] = waiting
            await self._outbox.add(
                session,
                PersonForgotten(
                    erasure_id=event.erasure_id,
                    attempt=event.attempt,
                    service=self._outbox.source,
                    rows=rows,
                    forgotten_at=datetime.now(UTC),
                ),
            )
            # Last: nobody else can add to the audit until the commit.
            await self._data.forget_actor(session, event.person_id)
        log.info("a person is forgotten", erasure=event.erasure_id, attempt=event.attempt, rows=rows)


def queue_of(service: str, plan: Plan = PLAN) -> str:
    """Return the queue from which a service takes ``PersonErased``.

    Raises:
        KeyError: the plan has none for it.
    """
    for queue in plan.takers(PERSON_ERASED):
        if queue.consumer == service:
            return queue.name
    raise KeyError(f"no queue takes {PERSON_ERASED} to {service}")


def who_erases(plan: Plan = PLAN) -> tuple[str, ...]:
    """Return the services that take ``PersonErased``, each of which answers."""
    return tuple(sorted(queue.consumer for queue in plan.takers(PERSON_ERASED)))


def subscribe_erasures(consumer: EventConsumer, erasures: Erasures, service: str) -> None:
    """Take ``PersonErased`` from the service's own queue, one at a time."""

    @consumer.on(queue_of(service), PersonErased, prefetch=1)
    async def on_erased(event: PersonErased, meta: EventMeta) -> None:
        await erasures.erase(event, meta)
