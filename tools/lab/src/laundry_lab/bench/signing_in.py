"""From the sent password to the page that knows who it is."""

import html
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from laundry.stack.environment import public_url
from laundry_lab.bench.figures import Figure
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_lab.report import percentile

TIMES = 8
MOST_MS = 1000
GROUP = "Signing in at the identity service"
FORM = re.compile(r'<form class="sign-in".*?</form>', re.DOTALL)
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')


@dataclass
class Account:
    """Somebody with a password."""

    email: str
    password: str


async def measure(stage: Stage) -> list[Figure]:
    """Let somebody sign in, one time after another, each in a browser of its own."""
    if "identity_url" not in stage.document:
        raise NotMeasured("sign-in: this stack has no identity service")
    # At any scale: one address may sign in sixty times a minute.
    number = stage.many(TIMES, least=3, grows=False)
    advance = stage.say("sign-in", number)
    found = []
    async with _invited(stage) as account:
        for _ in range(number):
            found.append(await _once(stage, account))
            advance(1)
    note = f"{number} in a row, from the sent password until the page knows who it is"
    return [
        Figure(GROUP, "median", percentile(found, 0.5) * 1000, "ms", MOST_MS, note=note),
        Figure(GROUP, "slowest", max(found) * 1000, "ms", MOST_MS),
    ]


@asynccontextmanager
async def _invited(stage: Stage) -> AsyncIterator[Account]:
    """Invite a helper, who makes an account; the right to it ends with this."""
    account = Account(f"{stage.branch('sign-in')}@example.com", secrets.token_urlsafe(12))
    operator = stage.headers("operator")
    async with stage.client("identity") as identity, _browser(stage) as browser:
        branch = {"id": stage.branch("sign-in")[:40], "name_ko": "측정 지점", "name_en": "Bench"}
        (await identity.post("/branches", json=branch, headers=operator)).raise_for_status()
        asked = {"role": "helper", "branches": [branch["id"]]}
        made = (await identity.post("/invitations", json=asked, headers=operator)).raise_for_status().json()
        link = await browser.get(made["link"])
        await _send(browser, link, name="Bench", email=account.email, password=account.password)
        listed = await identity.get("/people", params={"branch_id": branch["id"]}, headers=operator)
        [person] = listed.raise_for_status().json()["items"]
        try:
            yield account
        finally:
            (await identity.delete(f"/people/{person['sub']}", headers=operator)).raise_for_status()


async def _once(stage: Stage, account: Account) -> float:
    """Sign in; return the seconds that somebody waits who has sent the password."""
    async with _browser(stage) as browser:
        page = await browser.get("/auth/sign-in", params={"next": "/helper", "lang": "en"})
        began = time.perf_counter()
        shown = await _send(browser, page, login=account.email, password=account.password)
        session = await browser.get("/auth/session")
        took = time.perf_counter() - began
    if session.status_code != 200 or session.json()["role"] != "helper":
        raise NotMeasured(f"sign-in: led to {shown.url} and {session.status_code} {session.text[:150]}")
    return took


async def _send(browser: httpx.AsyncClient, page: httpx.Response, **fields: str) -> httpx.Response:
    """Fill in a page's form and send it; the page that it leads to."""
    form = FORM.search(page.text)
    if form is None:
        raise NotMeasured(f"sign-in: no form at {page.url}: {page.status_code}")
    hidden = {name: html.unescape(value) for name, value in HIDDEN.findall(form[0])}
    origin = f"{page.url.scheme}://{page.url.netloc.decode()}"
    return await browser.post(
        page.url, data={**hidden, **fields}, headers={"Origin": origin, "Referer": str(page.url)}
    )


@asynccontextmanager
async def _browser(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    """Open what keeps cookies and follows where it is led."""
    origin = public_url(stage.document["web_url"])
    async with httpx.AsyncClient(base_url=origin, follow_redirects=True, timeout=30) as browser:
        yield browser
