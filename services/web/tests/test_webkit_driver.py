"""What drives WebKit in these tests: a session that hangs fails its own test only."""

from contextlib import suppress

import httpx
import psutil
import pytest
from fastapi import FastAPI

from laundry_testing.cable import Cable
from web.app import create_app

from .browsers import PHONE, expect, webkit
from .browsers.site import served
from .conftest import settings_for

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
ANSWER_S = 8


def make(address: str) -> FastAPI:
    return create_app(settings_for("http://127.0.0.1:9", public_url=address))


def _browsers() -> list[psutil.Process]:
    found = []
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            if each.name() == "MiniBrowser":
                found.append(each)
    return found


async def test_a_session_that_does_not_answer_is_replaced() -> None:
    complaints: list[str] = []
    others = _browsers()
    silenced: list[psutil.Process] = []
    async with webkit.running() as engine, served(make, Cable()) as site:

        async def opened() -> None:
            async with engine.context(
                site, viewport=PHONE, locale="en-US", dark=False, complaints=complaints
            ) as context:
                page = await context.new_page()
                await page.goto("/")
                await expect(page.get_by_text("Nobody can sign in here")).to_be_visible()
                if engine.answer_s == ANSWER_S:
                    for process in set(_browsers()) - set(others):
                        process.suspend()
                        silenced.append(process)
                    await page.goto("/")

        await opened()
        engine.answer_s = ANSWER_S
        with pytest.raises(httpx.TimeoutException):
            await opened()
        engine.answer_s = webkit.ANSWER_S
        assert silenced
        assert _browsers() == others
        await opened()


async def test_a_session_that_hangs_when_it_is_tidied_fails_no_test() -> None:
    async with webkit.running() as engine, served(make, Cable()) as site:
        others = _browsers()

        async def opened(*, silent: bool) -> None:
            async with engine.context(
                site, viewport=PHONE, locale="en-US", dark=False, complaints=[]
            ) as context:
                page = await context.new_page()
                await page.goto("/")
                await expect(page.get_by_text("Nobody can sign in here")).to_be_visible()
                if silent:
                    engine.answer_s = ANSWER_S
                    for process in set(_browsers()) - set(others):
                        process.suspend()

        with pytest.warns(UserWarning, match="did not answer"):
            await opened(silent=True)
        engine.answer_s = webkit.ANSWER_S
        assert _browsers() == others
        await opened(silent=False)
