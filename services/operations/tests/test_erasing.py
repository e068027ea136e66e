"""An erasure is seen through: not too early, and also where a request or an answer was lost."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from laundry_events import EventMeta, Outbox, new_id
from laundry_events.events import PersonForgotten
from laundry_service.audit.acts import Actor
from laundry_service.personal_data.erasing import queue_of, who_erases
from laundry_service.personal_data.held import PersonalData
from laundry_service.storage.database import Database
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging
from laundry_testing.serving import serving
from operations.app import create_app
from operations.erasures import Erasure, Surroundings
from operations.management import ManagementAway
from operations.repository import erasures as erasures_repository
from operations.repository.erasures import HELD
from operations.service.erasures import Erasures, ErasureWorker
from operations.settings import Settings

from .conftest import Services, World, becomes

pytestmark = pytest.mark.servers
WHO = "customer-kim"


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool=2)
    yield database
    await database.close()


class Letters:
    """Looks that find so many dead letters, one after the other; and no message that waits."""

    def __init__(self, *found: int | None) -> None:
        self.found = list(found)
        self.since: list[datetime | None] = []

    async def look(self, person: str, since: datetime | None) -> Surroundings:
        assert person == WHO
        self.since.append(since)
        return Surroundings(self.found.pop(0), drained=since is not None)


def a_worker(database: Database, letters: Any) -> ErasureWorker:
    return ErasureWorker(
        database,
        Outbox("operations"),
        PersonalData(database, HELD, audited=True),
        letters,
        absent=(),
        token_life=timedelta(0),
        ask_again=timedelta(hours=1),
        every_s=60,
    )


def forgotten(erasure: Erasure, service: str, *, attempt: int = 1, rows: int = 1) -> PersonForgotten:
    return PersonForgotten(
        erasure_id=erasure.id,
        attempt=attempt,
        service=service,
        rows={"things": rows},
        forgotten_at=datetime.now(UTC),
    )


def a_message() -> EventMeta:
    return EventMeta(new_id(), "", "", None, None, 0, "person.forgotten", "person.forgotten")


async def test_a_person_is_settled_only_when_no_letter_was_there_for_two_looks(database: Database) -> None:
    erasures = Erasures(database, Outbox("operations"), ("mlops",))
    erasure, _ = await erasures.request(WHO, by=Actor("op-1", "operator"), reason=None)
    await erasures.confirm(forgotten(erasure, "mlops"), a_message())
    letters = Letters(2, 0, 0)
    worker = a_worker(database, letters)

    async def turn() -> Erasure:
        await worker._turn()
        found = await erasures.find(erasure.id)
        assert found is not None
        return found

    assert (await turn()).clear_since is None
    before = datetime.now(UTC)
    # Letters were sent back since the look before: what they became looks young, and is not.
    second = await turn()
    assert (second.attempt, second.dead_letters) == (1, 0)
    assert second.clear_since is not None and second.clear_since >= before
    third = await turn()
    assert (third.attempt, third.final) == (2, True)
    assert letters.since == [None, None, second.clear_since]


async def test_a_look_that_did_not_see_all_letters_begins_anew(database: Database) -> None:
    erasures = Erasures(database, Outbox("operations"), ("mlops",))
    erasure, _ = await erasures.request(WHO, by=Actor("op-1", "operator"), reason=None)
    await erasures.confirm(forgotten(erasure, "mlops"), a_message())
    letters = Letters(0, None, 0, 0)
    worker = a_worker(database, letters)
    attempts = []
    for _ in range(4):
        await worker._turn()
        found = await erasures.find(erasure.id)
        assert found is not None
        attempts.append(found.attempt)
    assert attempts == [1, 1, 1, 2]
    assert [since is None for since in letters.since] == [True, False, True, False]


async def test_an_erasure_that_fails_holds_up_no_other(database: Database) -> None:
    erasures = Erasures(database, Outbox("operations"), ("mlops",))
    for who in ("customer-lee", WHO):
        erasure, _ = await erasures.request(who, by=Actor("op-1", "operator"), reason=None)
        await erasures.confirm(forgotten(erasure, "mlops"), a_message())

    class LeesFail(Letters):
        async def look(self, person: str, since: datetime | None) -> Surroundings:
            if person != WHO:
                raise LookupError("a letter that nobody can read")
            return await super().look(person, since)

    worker = a_worker(database, LeesFail(0, 0))
    for _ in range(2):
        with pytest.raises(LookupError):
            await worker._turn()
    lee, kim = [await erasures.of(who) for who in ("customer-lee", WHO)]
    assert lee is not None and kim is not None
    assert (lee.attempt, kim.attempt, kim.final) == (1, 2, True)


async def test_while_a_server_is_away_no_further_erasure_is_tried(database: Database) -> None:
    erasures = Erasures(database, Outbox("operations"), ("mlops",))
    for who in ("customer-lee", WHO):
        erasure, _ = await erasures.request(who, by=Actor("op-1", "operator"), reason=None)
        await erasures.confirm(forgotten(erasure, "mlops"), a_message())
    tried = []

    class Away:
        async def look(self, person: str, since: datetime | None) -> Surroundings:
            tried.append(person)
            raise ManagementAway("no node answers")

    with pytest.raises(ManagementAway):
        await a_worker(database, Away())._turn()
    assert tried == ["customer-lee"]


async def test_an_answer_that_is_told_again_counts_once(database: Database) -> None:
    erasures = Erasures(database, Outbox("operations"), ("mlops", "search"))
    erasure, _ = await erasures.request(WHO, by=Actor("op-1", "operator"), reason=None)
    # Under ids that no inbox knows any more.
    for attempt, rows in ((1, 3), (1, 3), (2, 4), (1, 3), (2, 4)):
        await erasures.confirm(forgotten(erasure, "mlops", attempt=attempt, rows=rows), a_message())
    found = await erasures.find(erasure.id)
    assert found is not None
    assert {part.service: (part.attempt, part.rows) for part in found.parts} == {
        "mlops": (2, {"things": 7}),
        "search": (None, {}),
    }


async def test_a_service_that_a_request_passed_by_is_asked_again(
    settings: Settings, identity: FileIdentity, messaging: Messaging, services: Services
) -> None:
    hurry = {
        "erasure_token_life_s": 1.0,
        "erasure_check_s": 0.2,
        "erasure_ask_again_s": 0.5,
        "counts_lag_s": 0.1,
    }
    async with serving(create_app(settings.model_copy(update=hurry))) as http:
        world = World(http, identity, messaging)
        asked = await world.post("/people/erasures", 202, person=WHO, confirm="erase")
        await messaging.take(queue_of("mlops"))
        await services.answer(*who_erases())
        for service in who_erases():
            # Those who had answered were asked again beside the one that had not.
            while (await services.answer(service)).attempt < 2:
                pass
        done = await becomes(world, asked["id"], "completed")
    # However often somebody answers, an attempt counts once.
    assert {part["service"]: part["rows"] for part in done["parts"]} == {
        service: {"things": 2} for service in who_erases()
    }


async def test_one_who_asks_as_their_erasure_is_completed_is_forgotten_once_more(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Erasures(database, Outbox("operations"), ["helper"])
    by = Actor("op", "operator")
    first, _ = await asked.request(WHO, by=by, reason=None)
    look_up = erasures_repository.open_of

    async def completed_before(session: Any, person: str) -> Any:
        async with database.transaction() as other:
            await erasures_repository.complete(other, first.id, datetime.now(UTC))
        return await look_up(session, person)

    with monkeypatch.context() as during:
        during.setattr(erasures_repository, "open_of", completed_before)
        second, known = await asked.request(WHO, by=by, reason=None)
    assert (known, second.id != first.id) == (False, True)
    found = await asked.of(WHO)
    assert found is not None
    assert found.id == second.id
