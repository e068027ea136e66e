"""Forgets people: asks every service, keeps who has confirmed, and asks again until nobody can come back."""

import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import EventMeta, Outbox, claim_once, new_id
from laundry_events.events import PersonErased, PersonForgotten
from laundry_service.audit.acts import Act, Actor
from laundry_service.audit.people import pseudonym_of
from laundry_service.audit.writing import write as write_act
from laundry_service.background.task import OUTAGES, BackgroundTask
from laundry_service.personal_data.held import PersonalData
from laundry_service.storage.database import Database
from laundry_service.storage.outages import is_outage
from operations.erasures import (
    Erasure,
    ErasurePart,
    Step,
    Surroundings,
    is_asked_again,
    is_due,
    next_step,
    settled_at,
)
from operations.management import ManagementAway
from operations.repository import erasures as repository
from operations.service.surroundings import NotLookedAt, PeopleInQueues

OPEN = Gauge("laundry_erasures_open", "Erasures of people that are not completed")
OLDEST = Gauge("laundry_erasures_oldest_seconds", "How long ago the oldest of them was requested")

# What stops every erasure alike.
AWAY = (*OUTAGES, ManagementAway, NotLookedAt)

TRIES = 3
"""How often an erasure is stored: the one that is in its way may be completed before it is looked up."""

log = structlog.get_logger(__name__)


class Erasures:
    """What people ask for, and what the services answer."""

    def __init__(self, database: Database, outbox: Outbox, services: Sequence[str]) -> None:
        """Take the services that must confirm."""
        self._database = database
        self._outbox = outbox
        self._services = services
        self.wake: Callable[[], None] = lambda: None

    async def request(self, person: str, *, by: Actor, reason: str | None) -> tuple[Erasure, bool]:
        """Begin to forget a person.

        Returns:
            the erasure, and whether it was under way already.
        """
        now = datetime.now(UTC)
        erasure = Erasure(
            id=new_id(),
            person_id=person,
            tombstone=f"erased-{secrets.token_hex(6)}",
            requested_by=by.by,
            requested_at=now,
            attempt=1,
            final=False,
            dead_letters=None,
            completed_at=None,
            parts=tuple(ErasurePart(service, None, {}, None) for service in self._services),
            asked_at=now,
        )
        async with self._database.transaction() as session:
            known = await self._known(session, erasure)
            if known is not None:
                return known, True
            await self._outbox.add(session, _asking(erasure, attempt=1))
            whom = await pseudonym_of(session, person)
            act = Act("person.erase", whom, by, reason, outcome="asked", details={"erasure": erasure.id})
            await write_act(session, act)
        log.info("a person is to be forgotten", erasure=erasure.id)
        self.wake()
        return erasure, False

    @staticmethod
    async def _known(session: AsyncSession, erasure: Erasure) -> Erasure | None:
        """Store an erasure; returns the one of this person that is under way."""
        for _ in range(TRIES):
            if await repository.add(session, erasure):
                return None
            found = await repository.open_of(session, erasure.person_id or "")
            if found is not None:
                return found
        # Answered as any trouble of the database: sending it again helps.
        raise ConnectionError("an erasure was completed as often as it was looked up")

    async def exported(self, person: str, *, by: Actor) -> None:
        """Record that a person's data was given out."""
        async with self._database.transaction() as session:
            whom = await pseudonym_of(session, person)
            await write_act(session, Act("person.export", whom, by))

    async def confirm(self, event: PersonForgotten, meta: EventMeta) -> None:
        """Note that a service has forgotten a person."""
        async with self._database.transaction() as session:
            if await claim_once(session, "operations.person-forgotten", meta.id):
                await repository.confirm(
                    session,
                    event.erasure_id,
                    event.service,
                    attempt=event.attempt,
                    rows=event.rows,
                    at=event.forgotten_at,
                )
        self.wake()

    async def of(self, person: str) -> Erasure | None:
        """Return the erasure of a person that is under way."""
        async with self._database.session() as session:
            return await repository.open_of(session, person)

    async def find(self, erasure_id: str) -> Erasure | None:
        """Return an erasure, None if there is none with this id."""
        async with self._database.session() as session:
            return await repository.find(session, erasure_id)

    async def newest(self, *, limit: int, before: str | None) -> list[Erasure]:
        """Return erasures, newest first."""
        async with self._database.session() as session:
            return await repository.newest(session, limit=limit, before=before)


class ErasureWorker:
    """Carries erasures to their end; each replica has one, and a row's lock says whose turn it is."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        data: PersonalData,
        around: PeopleInQueues,
        *,
        absent: Collection[str],
        token_life: timedelta,
        ask_again: timedelta,
        every_s: float,
    ) -> None:
        """Take what operations holds itself, and what tells whether a person could come back.

        Args:
            absent: services that this installation is without; nobody waits for their answer.
            token_life: so long a token may be good that was made before the request.
            ask_again: so long after it was asked a service that has not answered is asked again.
        """
        self._database = database
        self._outbox = outbox
        self._data = data
        self._around = around
        self._absent = absent
        self._token_life = token_life
        self._after = ask_again
        self._task = BackgroundTask(
            "erasures",
            self._turn,
            every_s=every_s,
            expected=AWAY,
            waiting="erasures wait",
            failed="an erasure failed",
        )

    async def start(self) -> None:
        """Start to ask again, and to complete what is done."""
        await self._task.start()

    async def stop(self) -> None:
        """Stop after the present await; another replica, or the next start, goes on."""
        await self._task.stop()

    def wake(self) -> None:
        """Look now: something was asked or confirmed."""
        self._task.wake()

    async def _turn(self) -> None:
        async with self._database.transaction() as session:
            if self._absent:
                await repository.wait_no_longer(session, self._absent)
            under_way = await repository.under_way(session)
        now = datetime.now(UTC)
        OPEN.set(len(under_way))
        OLDEST.set(max((now - each.requested_at).total_seconds() for each in under_way) if under_way else 0)
        failure: Exception | None = None
        for erasure in under_way:
            try:
                if is_due(erasure, now=now, token_life=self._token_life):
                    await self._carry_on(erasure)
                elif is_asked_again(erasure, now=now, after=self._after):
                    await self._ask_again(erasure.id)
            except Exception as error:
                if isinstance(error, AWAY) or is_outage(error):
                    raise
                # The others go on: the next turn would begin with this one again.
                log.exception("an erasure failed, the others go on", erasure=erasure.id)
                failure = error
        if failure is not None:
            raise failure

    async def _ask_again(self, erasure_id: str) -> None:
        async with self._database.transaction() as session:
            erasure, now = await repository.find(session, erasure_id, lock=True), datetime.now(UTC)
            if erasure is None or not is_asked_again(erasure, now=now, after=self._after):
                return
            await repository.note_asked(session, erasure.id, now)
            await self._outbox.add(session, _asking(erasure, attempt=erasure.attempt))
        log.warning("services that have not answered are asked again", erasure=erasure.id, of=erasure.missing)

    async def _carry_on(self, erasure: Erasure) -> None:
        assert erasure.person_id is not None
        around = Surroundings(0, drained=True)
        if not erasure.final:
            clear, settled = erasure.clear_since, settled_at(erasure, self._token_life)
            around = await self._around.look(erasure.person_id, max(clear, settled) if clear else None)
        # What operations holds itself, as often as the others are asked.
        await self._data.erase(erasure.person_id, erasure.tombstone)
        async with self._database.transaction() as session:
            now = await repository.find(session, erasure.id, lock=True)
            if now is None or now.person_id is None:
                return
            if (now.dead_letters, now.clear_since) != (erasure.dead_letters, erasure.clear_since):
                return  # another replica looked meanwhile, and its look counts
            at = datetime.now(UTC)
            step = next_step(now, around, now=at, token_life=self._token_life)
            if not now.final:
                await repository.note_dead_letters(session, now, around.dead_letters, at)
            if step is Step.REPEAT:
                attempt = await repository.begin_final(session, now)
                await repository.note_asked(session, now.id, at)
                await self._outbox.add(session, _asking(now, attempt=attempt))
            elif step is Step.COMPLETE:
                person = now.person_id
                await repository.complete(session, now.id, at)
                await self._data.forget_actor(session, person)
        log.info("an erasure is carried on", erasure=erasure.id, step=step.value)


def _asking(erasure: Erasure, *, attempt: int) -> PersonErased:
    if erasure.person_id is None:
        raise ValueError("the erasure is completed")
    return PersonErased(
        erasure_id=erasure.id,
        person_id=erasure.person_id,
        tombstone=erasure.tombstone,
        attempt=attempt,
        requested_at=erasure.requested_at,
    )
