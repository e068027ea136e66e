"""People ask for their data and to be forgotten; operations asks everybody and sees it through."""

import json
from datetime import datetime
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

from laundry_events.topology import HISTORY, PLAN
from laundry_service.migrate import upgrade
from laundry_service.personal_data.erasing import queue_of, who_erases
from laundry_service.storage.database import Database
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.serving import serving
from laundry_testing.traces import in_database, in_queues, in_stream
from operations.app import create_app
from operations.erasures import Surroundings
from operations.service import sampling
from operations.service.surroundings import PeopleInQueues
from operations.settings import PEERS, Settings
from operations.tables import erasures

from .conftest import Services, World, becomes, bury

pytestmark = pytest.mark.servers

WHO = "customer-kim"
ERASE = {"confirm": "erase"}


async def test_a_person_is_forgotten_once_nothing_can_bring_them_back(
    hurried: World, services: Services, database_url: str
) -> None:
    own = hurried.identity.bearer("customer", sub=WHO)
    for body in ({}, {"confirm": "yes"}):
        refused = await hurried.http.post("/people/me/erasure", headers=own, json=body)
        assert refused.status_code == 422
    assert (await hurried.http.get("/people/me/erasure", headers=own)).status_code == 404
    # A letter that names the person could be sent back, and would bring them back.
    await bury(hurried.messaging, "m1", **{"x-error-message": f"no such customer: {WHO}"})
    answer = await hurried.http.post("/people/me/erasure", headers=own, json=ERASE)
    assert answer.status_code == 202, answer.text
    begun = answer.json()
    assert (begun["state"], begun["waiting_for"]) == ("running", list(who_erases()))
    again = await hurried.http.post("/people/me/erasure", headers=own, json=ERASE)
    assert (again.json()["id"], again.headers["idempotent-replay"]) == (begun["id"], "true")
    assert (await hurried.http.get("/people/me/erasure", headers=own)).json()["id"] == begun["id"]

    first, *others = who_erases()
    asked = await services.answer(*others)
    assert (asked.person_id, asked.attempt) == (WHO, 1)
    found = await becomes(hurried, begun["id"], "running", waiting_for=[first])
    assert WHO not in json.dumps(found)
    # The one that was away finishes later.
    await services.answer(first)
    await becomes(hurried, begun["id"], "settling", dead_letters=1)
    # While operations walks over the letters it holds them.
    await eventually(
        lambda: in_queues(hurried.messaging.amqp_url, ["task.read.dlq"], [WHO]), what="the letter"
    )
    await hurried.messaging.take("task.read.dlq")
    await services.answer(*who_erases(), rows=0)
    done = await becomes(hurried, begun["id"], "completed")
    assert {part["service"]: part["rows"] for part in done["parts"]} == {
        service: {"things": 1} for service in who_erases()
    }
    # Nobody knows any more who it was; that somebody asked is in the audit.
    queues = [name for name in await names_of_queues(hurried.messaging) if name != "model.promoted"]
    assert await in_queues(hurried.messaging.amqp_url, queues, [WHO]) == []
    assert await in_stream(hurried.messaging.amqp_url, HISTORY, [WHO]) == []
    assert await in_database(database_url, [WHO]) == []
    acts = [each["action"] for each in (await hurried.get("/audit"))["items"]]
    assert acts == ["person.forget", "person.erase"]
    assert (await hurried.http.get("/people/me/erasure", headers=own)).status_code == 404


async def test_nobody_is_settled_while_a_letter_that_names_them_was_only_just_sent_back(
    settings: Settings,
    identity: FileIdentity,
    messaging: Messaging,
    services: Services,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hurried = {"erasure_token_life_s": 1.0, "erasure_check_s": 0.2, "counts_lag_s": 60.0}
    looks: list[Surroundings] = []
    look = PeopleInQueues.look

    async def noted(around: PeopleInQueues, person: str, since: datetime | None) -> Surroundings:
        found = await look(around, person, since)
        looks.append(found)
        return found

    monkeypatch.setattr(PeopleInQueues, "look", noted)
    async with serving(create_app(settings.model_copy(update=hurried))) as http:
        world = World(http, identity, messaging)
        await bury(messaging, "m1", **{"x-error-message": f"no such customer: {WHO}"})
        asked = await world.post("/people/erasures", 202, person=WHO, confirm="erase")
        await services.answer(*who_erases())
        await becomes(world, asked["id"], "settling", dead_letters=1)
        path = "/dead-letters/redrive"
        job = await world.post(path, 202, queue="task.read", dry_run=False, why="mended")
        await world.ended(job["id"])
        # Its copy waits in a queue, and is seconds old: nobody is asked for the last time.
        await becomes(world, asked["id"], "settling", dead_letters=0, waiting_for=[])
        # What the first further look finds has had its effect when a second has been made.
        seen = len(looks)
        await eventually(lambda: len(looks) >= seen + 3, what="further looks")
        assert looks[-1] == Surroundings(0, drained=False)
        await becomes(world, asked["id"], "settling", dead_letters=0, waiting_for=[])
        async with database.session() as session:
            assert (await session.execute(sa.select(erasures.c.attempt))).scalar_one() == 1


async def names_of_queues(messaging: Messaging) -> list[str]:
    return [
        name
        for queue in PLAN.queues
        if queue.dead is not None
        for name in (queue.name, queue.dead, *(retry for retry, _ in queue.retries))
    ]


async def test_who_may_ask(world: World, services: Services) -> None:
    headers = world.identity.bearer("owner", "b1", sub="owner-1")
    for method, path, body in (
        ("POST", "/people/erasures", {**ERASE, "person": WHO}),
        ("POST", "/people/export", {"person": WHO}),
        ("GET", "/people/erasures", None),
        ("GET", "/people/erasures/x", None),
    ):
        answer = await world.http.request(method, path, headers=headers, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "role-forbidden"), path
    device = world.identity.bearer("device", "b1", sub="washer-1")
    answer = await world.http.post("/people/me/erasure", headers=device, json=ERASE)
    assert (answer.status_code, answer.json()["code"]) == (403, "role-forbidden")
    asked = await world.post("/people/erasures", 202, person=WHO, confirm="erase", reason="by letter")
    assert (await services.asked("search")).erasure_id == asked["id"]
    page = await world.get("/people/erasures", limit=1)
    assert [each["id"] for each in page["items"]] == [asked["id"]]
    assert page["next_cursor"] is None
    missing = await world.http.get("/people/erasures/x", headers=world.operator())
    assert (missing.status_code, missing.json()["code"]) == (404, "erasure-unknown")


def a_service(name: str, asked: list[tuple[str, str]], *, cut: bool = False) -> FastAPI:
    """A service that holds two rows of everybody; or whose answer breaks off."""
    app = FastAPI()

    @app.post("/personal-data")
    async def personal_data(request: Request) -> PlainTextResponse:
        person = (await request.json())["person"]
        asked.append((name, request.headers["authorization"]))
        lines = [json.dumps({"kind": "things", "row": {"of": person, "no": no}}) for no in range(2)]
        return PlainTextResponse("\n".join(lines if cut else [*lines, '{"rows": 2}']))

    return app


async def test_an_export_holds_every_services_part_or_is_none(
    settings: Settings, database_url: str, identity: FileIdentity, messaging: Messaging
) -> None:
    await upgrade("operations", database_url)
    asked: list[tuple[str, str]] = []
    urls: dict[str, str] = {}

    async def fetch(path: str, headers: dict[str, str], body: Any = None) -> httpx.Response:
        peers = {f"{name}_url": url for name, url in urls.items()}
        async with serving(create_app(settings.model_copy(update=peers))) as http:
            return await http.request("GET" if body is None else "POST", path, headers=headers, json=body)

    own = identity.bearer("customer", sub=WHO)
    async with serving(a_service("all", asked)) as whole, serving(a_service("x", [], cut=True)) as cut:
        urls |= {name: str(whole.base_url) for name in PEERS}
        answer = await fetch("/people/me/export", own)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-disposition"] == 'attachment; filename="personal-data.json"'
        assert answer.headers["cache-control"] == "no-store"
        document = answer.json()
        assert document["person"] == WHO
        things = {"things": [{"of": WHO, "no": 0}, {"of": WHO, "no": 1}]}
        assert document["services"] == {"operations": {}, **dict.fromkeys(PEERS, things)}
        assert {token for _, token in asked} == {own["Authorization"]}, "nobody asks in another's name"

        operator = identity.bearer("operator", sub="op-1")
        answer = await fetch("/people/export", operator, {"person": "somebody"})
        assert answer.json()["services"]["search"] == {
            "things": [{"of": "somebody", "no": 0}, {"of": "somebody", "no": 1}]
        }
        # Who looked at whose data can be seen, and what operators did is exported to them as well.
        mine = (await fetch("/people/me/export", operator)).json()["services"]["operations"]
        assert [(act["action"], act["object"]) for act in mine["acts"]] == [("person.export", "somebody")]

        for url in (str(cut.base_url), "http://127.0.0.1:1"):
            urls["search"] = url
            answer = await fetch("/people/me/export", own)
            assert (answer.status_code, answer.json()["code"]) == (503, "export-incomplete")
            assert answer.json()["service"] == "search"
            assert int(answer.headers["retry-after"]) > 0


async def test_nobody_waits_for_an_identity_service_that_is_not_there(
    settings: Settings, database_url: str, identity: FileIdentity, messaging: Messaging, services: Services
) -> None:
    await upgrade("operations", database_url)
    own = identity.bearer("customer", sub=WHO)
    # Asked while it was there, or not told yet that it is not.
    async with serving(create_app(settings)) as http:
        before = (await http.post("/people/me/erasure", headers=own, json=ERASE)).json()
    assert "identity" in before["waiting_for"]
    # What the process before has told of the queues ended with it.
    sampling.hide()
    async with serving(a_service("all", [])) as peer:
        urls = {f"{name}_url": str(peer.base_url) for name in PEERS} | {"identity_url": ""}
        hurried = {"erasure_token_life_s": 1.0, "erasure_check_s": 0.2, "counts_lag_s": 0.1}
        async with serving(create_app(settings.model_copy(update=urls | hurried))) as http:
            world = World(http, identity, messaging)
            others = [service for service in who_erases() if service != "identity"]
            await becomes(world, before["id"], "running", waiting_for=others)
            for _ in range(2):
                await services.answer(*others)
            done = await becomes(world, before["id"], "completed")
            assert [part["service"] for part in done["parts"]] == others
            after = await world.post("/people/erasures", 202, person="somebody", confirm="erase")
            assert after["waiting_for"] == others

            export = await http.get("/people/me/export", headers=own)
            assert export.status_code == 200, export.text
            assert export.json()["services"].keys() == {"operations", *PEERS} - {"identity"}

            queue = queue_of("identity")
            assert queue not in {each["name"] for each in (await world.get("/queues"))["items"]}
            assert queue not in {each["queue"] for each in (await world.get("/dead-letters"))["queues"]}
            await eventually(lambda: "person.erased.mlops" in sampled(), what="a look")
            assert queue not in sampled()


def sampled() -> set[str]:
    """Return the queues that the sampler tells of; others in this process have metrics with queues too."""
    samples = (sample for gauge in sampling.ALL for each in gauge.collect() for sample in each.samples)
    return {sample.labels["queue"] for sample in samples}


def test_only_identity_may_be_absent(settings: Settings) -> None:
    urls = {f"{name}_url": "" for name in PEERS}
    assert settings.absent() == frozenset()
    assert settings.model_copy(update=urls).absent() == {"identity"}
