"""What must hold in every browser: the page opens, a photo goes, and nothing is wider than the screen."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from laundry_service.http.problems import Problem
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import eventually

from .browsers import Window
from .fake_operations import FakeOperations
from .fake_services import FakeServices, picture

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PATIENCE_S = 30
WIDTHS = (320, 390, 1280)
# Of the longest that the services take, and nowhere to break.
LONG = "Gangnam-station-underground-arcade-laundry-and-dry-cleaning-room"
BRANCHES = (LONG, "b2")
TITLES = {
    "/": ("로그인 · 스마트 세탁", "Sign in · Smart Laundry"),
    "/helper": ("세탁물 등록 · 스마트 세탁", "Register laundry · Smart Laundry"),
    "/owner": ("확인 · 스마트 세탁", "Confirm · Smart Laundry"),
    "/operator?view=models": ("모델 · 스마트 세탁", "Models · Smart Laundry"),
    "/operator?view=queues": ("큐와 데드 레터 · 스마트 세탁", "Queues and dead letters · Smart Laundry"),
}
ALERTS = {"ko": "설비 알림", "en": "Equipment alerts"}
LISTS = {
    "/": ".sign-in",
    "/helper": ".load",
    "/owner": ".strip li",
    "/operator?view=models": ".model",
    "/operator?view=queues": ".dead-letters li",
}
# What a page shows of a list at first.
SHOWN = {"/helper": 20, "/operator?view=models": 50}
# Each language where it costs little, and one of them with every number of items.
LANGUAGES = {0: ("ko", "en"), 1: ("ko",), 12: ("en",), 200: ("ko",)}


async def until(window: Window, condition: str) -> None:
    """Wait until an expression is true in the page."""
    async with asyncio.timeout(PATIENCE_S):
        while not await window.run(f"return Boolean({condition})"):
            await asyncio.sleep(0.05)


async def shows(window: Window, text: str) -> None:
    await until(window, f"document.getElementById('content')?.textContent.includes({json.dumps(text)})")


async def press(window: Window, selector: str) -> None:
    await until(window, f"document.querySelector({json.dumps(selector)})?.matches(':enabled')")
    await window.run(f"document.querySelector({json.dumps(selector)}).click()")


class Entrance:
    """Opens pages as somebody, in Korean or English."""

    def __init__(self, window: Window, site: httpx.AsyncClient, identity: FileIdentity) -> None:
        self._window = window
        self._site = str(site.base_url).rstrip("/")
        self._identity = identity

    async def __call__(
        self, path: str, *, role: str | None = None, language: str = "en", branches: tuple[str, ...] = ("b1",)
    ) -> None:
        window = self._window
        await window.go(f"{self._site}/static/icon.svg")
        keep = [f"localStorage.setItem('laundry.language', '{language}')"]
        if role:
            token = self._identity.local.mint(role=role, branches=branches, subject=f"{LONG}-{role}")
            keep.append(f"localStorage.setItem('laundry.token', '{token}')")
        await window.run(f"localStorage.clear(); {'; '.join(keep)}")
        await window.go(f"{self._site}{path}")


@pytest.fixture
def enter(window: Window, site: httpx.AsyncClient, identity: FileIdentity) -> Entrance:
    """Open pages in one window."""
    return Entrance(window, site, identity)


async def test_a_link_opens_the_page_and_a_photo_is_sent_and_read(
    window: Window, site: httpx.AsyncClient, identity: FileIdentity, services: FakeServices, photo_file: Path
) -> None:
    token = identity.local.mint(role="helper", branches=["b1"])
    address = str(site.base_url).rstrip("/")
    await window.go(f"{address}/#token={token}")
    await until(window, "document.querySelector('.helper')")
    assert await window.run("return location.pathname + location.hash") == "/helper"
    await window.choose("input[multiple]", [photo_file])
    await until(window, "document.querySelector('[data-status=submitted] img')")
    assert [upload["bytes"] for upload in services.uploads] == [photo_file.stat().st_size]
    [task_id] = services.tasks
    services.read(task_id, [("hat", 0.93)])
    await until(window, "document.querySelector('[data-status=read]')?.textContent.includes('93')")
    await window.go(f"{address}/helper")
    await until(window, "document.querySelector('[data-status=read]')")


async def test_photos_that_wait_outlive_a_reload_and_a_bad_file_stops_none(
    window: Window, enter: Entrance, services: FakeServices, tmp_path: Path
) -> None:
    files = [tmp_path / f"IMG_{number}.jpg" for number in range(1, 9)]
    for file in files:
        file.write_bytes(picture())
    services.refuse["upload"] = Problem(503, "service-away", "Away.")
    await enter("/helper", role="helper")
    await until(window, "document.querySelector('.empty')")
    await window.run(
        """const read = File.prototype.arrayBuffer;
        File.prototype.arrayBuffer = function () {
          const gone = this.name === "IMG_5.jpg";
          return gone ? Promise.reject(new DOMException("gone", "NotFoundError")) : read.call(this);
        };"""
    )
    await window.choose("input[multiple]", files)
    await shows(window, "IMG_5.jpg (5/8)")
    await until(window, "document.querySelectorAll('.load').length === 7")
    assert await window.run("return document.querySelector('.intake .notice')") is None
    await enter("/helper", role="helper")
    await until(window, "document.querySelectorAll('.load').length === 7")
    services.refuse.clear()
    await window.run("window.dispatchEvent(new Event('online'))")
    await eventually(lambda: len(services.tasks) == 7, what="all are sent", within_s=PATIENCE_S)
    await until(window, "document.querySelectorAll('[data-status=submitted]').length === 7")


async def test_an_owner_confirms_and_sees_open_faults_without_a_phone(
    window: Window, enter: Entrance, services: FakeServices
) -> None:
    task = services.add_task("read", labels=[("shirt", 0.93), ("dress", 0.05)])
    services.fault("washer-3")
    # Nobody was notified.
    services.notifications.clear()
    await enter("/owner", role="owner")
    await until(window, "document.querySelector('.alerts')?.textContent.includes('washer-3')")
    shown = await window.run("return document.querySelector('.alerts').textContent")
    assert "No alerts" not in shown
    assert "E42" in shown
    await press(window, ".confirm-actions .primary")
    await until(window, "document.querySelector('.done-row')")
    assert services.confirmations == [(task["id"], [{"label": "shirt", "count": 1}])]
    machine = services.equipment["washer-3"]
    machine |= {"state": "ok", "open_faults": []}
    services.tell("equipment", machine)
    await until(window, "document.querySelector('.alerts').textContent.includes('No alerts')")


def fill(services: FakeServices, count: int) -> None:
    """Let there be so many of everything, with the longest names."""
    operations = FakeOperations(services.app, letters=count)
    operations.why = {"reason": "retries-exhausted", "error_class": LONG}
    photo = picture(size=(90, 120))
    for number in range(count):
        services.add_task(
            "read",
            labels=[(LONG, 0.5), ("dress", 0.3)],
            needs_review=number % 2 == 0,
            note=LONG * 3,
            branch_id=LONG,
            photo=photo,
        )
        services.fault(f"{LONG[:-4]}-{number}")
    [model, *_] = services.models.models
    services.models.models = [
        model | {"version": f"{LONG}-{number}", "champion": number == 0} for number in range(min(count, 50))
    ]
    for number in range(min(count, 12)):
        run = services.models.run("failed", error=LONG, requested_by=LONG, model_version=f"{LONG}-{number}")
        services.models.note(run["id"], LONG)


async def wider(window: Window) -> list[Any]:
    """At which widths the page scrolls sideways, and because of what."""
    found = []
    for width in WIDTHS:
        await window.widen(width)
        sideways = await window.run(
            """const { scrollWidth } = document.documentElement;
            if (scrollWidth <= innerWidth) return null;
            const beyond = (each) => {
              const range = document.createRange();
              range.selectNodeContents(each);
              return range.getBoundingClientRect().right > innerWidth + 1;
            };
            return [innerWidth, scrollWidth, [...document.querySelectorAll("body *")].filter(beyond)
              .slice(-5).map((each) => each.outerHTML.slice(0, 100))];"""
        )
        found += [sideways] if sideways else []
    return found


@pytest.mark.parametrize("count", [0, 1, 12, 200])
async def test_no_page_is_wider_than_the_screen_and_each_title_tells_the_view(
    window: Window, enter: Entrance, services: FakeServices, count: int
) -> None:
    fill(services, count)
    for path, titles in TITLES.items():
        role = path[1:].partition("?")[0] or None
        for language in LANGUAGES[count]:
            title = titles[language == "en"]
            await enter(path, role=role, language=language, branches=BRANCHES)
            wanted = min(count, SHOWN.get(path, count)) if role else 1
            await until(window, f"document.querySelectorAll({json.dumps(LISTS[path])}).length === {wanted}")
            if path == "/owner" and count:
                await until(window, f"document.querySelectorAll('.banner').length === {count}")
                title = f"({count}) {ALERTS[language]} · {title}"
            assert await wider(window) == [], (path, language)
            await until(window, f"document.title === {json.dumps(title)}")
            if path == "/owner" and count:
                await press(window, ".confirm-actions .secondary")
                await until(window, "document.querySelector('[data-mode=correcting] .chip')")
                assert await wider(window) == [], (path, language, "correcting")
            if await window.run("return document.querySelectorAll('details').length"):
                await window.run("for (const each of document.querySelectorAll('details')) each.open = true")
                assert await wider(window) == [], (path, language, "opened")
