"""A flood of pages takes the database from nobody who is signed in."""

import asyncio
from functools import partial
from typing import Any

import httpx
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from identity.oidc import turns
from identity.oidc.turns import TakingTurns
from laundry_testing.messaging import eventually

from .conftest import PASSWORD, POOL, Provider
from .holding import held, waiting

FLOOD = 4 * POOL


class Pages:
    """Answers once it is let go; tells how many are being made."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.made = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.made += 1
        if scope["path"].startswith("/accounts/"):
            await self.let_go.wait()
        await receive()
        await PlainTextResponse("made")(scope, receive, send)


def client(app: Any, address: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://identity.test")


async def test_pages_of_one_address_and_of_all_are_made_a_few_at_once() -> None:
    pages = Pages()
    app = TakingTurns(pages, at_once=3, wait_s=30)

    def are_made(number: int) -> bool:
        return pages.made == number

    asked = []
    for number in range(4):
        browser = client(app, f"203.0.113.{number}")
        asked += [
            asyncio.create_task(browser.post("/accounts/login/", data={"login": "a"})) for _ in range(5)
        ]
        await eventually(partial(are_made, min(2 * (number + 1), 3)), what="as many as may be")
    # What servers ask for waits for nobody.
    token = await client(app, "203.0.113.1").post("/identity/o/api/token", data={"a": "b"})
    assert token.status_code == 200
    assert pages.made == 4
    pages.let_go.set()
    assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
    assert app._addresses == {}


async def test_who_waits_too_long_or_with_too_many_is_told_to_come_again(provider: Provider) -> None:
    pages = Pages()
    app = TakingTurns(pages, at_once=1, wait_s=0.01)
    first = asyncio.create_task(client(app, "203.0.113.1").get("/accounts/login/"))
    await eventually(lambda: pages.made, what="the first page")
    late = await client(app, "203.0.113.2").get("/accounts/login/", headers={"Accept-Language": "en"})
    assert late.status_code == 503 and late.headers["retry-after"] == "5"
    assert "We will be right back" in late.text
    patient = TakingTurns(Pages(), at_once=1, wait_s=30)
    browser = client(patient, "203.0.113.3")
    asked = {
        asyncio.create_task(browser.get("/accounts/login/")) for _ in range(turns.WAITING_OF_ADDRESS + 5)
    }
    refused, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    assert {task.result().status_code for task in refused} == {503}
    patient.app.let_go.set()  # type: ignore[attr-defined]
    pages.let_go.set()
    answers = await asyncio.gather(first, *asked)
    assert sum(answer.status_code == 503 for answer in answers) == 5


async def test_what_is_larger_than_any_form_is_not_read(provider: Provider) -> None:
    pages = Pages()
    app = TakingTurns(pages, at_once=1)
    answer = await client(app, "203.0.113.1").post("/accounts/login/", content=bytes(turns.MAX_BODY + 1))
    assert answer.status_code == 413
    assert pages.made == 0


async def test_while_many_sign_in_from_one_address_a_refresh_is_answered(provider: Provider) -> None:
    from django.db import connection

    person = await provider.account("helper", "b1")
    async with provider.browser() as phone, provider.browser() as browser:
        tokens = await provider.signed_in(phone, person.email)
        page = await browser.open("/accounts/login/")

        def lock_the_counts() -> None:
            with connection.cursor() as cursor:
                cursor.execute("LOCK TABLE cache IN ACCESS EXCLUSIVE MODE")

        async with held(lock_the_counts):
            flood = [
                asyncio.create_task(browser.submit(page, login=f"{number}@example.com", password=PASSWORD))
                for number in range(FLOOD)
            ]
            await waiting(provider.settings.database_url.get_secret_value(), turns.AT_ONCE_OF_ADDRESS)
            for _ in range(POOL):
                assert (await provider.backend.refresh(tokens)).status_code == 200
        await asyncio.gather(*flood)
