"""A provider, the web service, and a browser that is no more than its cookies."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio

from laundry_testing.identity import FileIdentity
from laundry_testing.serving import serving
from web.app import create_app

from ..conftest import KEYS, settings_for
from ..fake_provider import FakeProvider
from ..fake_services import FakeServices

PAGES = "http://pages.localhost:8080"
HERE = {"Host": "pages.localhost:8080"}
SAME = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Browser:
    """Keeps cookies, and asks the pages' backend."""

    client: httpx.AsyncClient
    provider: FakeProvider

    async def begin(self, next_path: str = "/helper", **more: str) -> httpx.Response:
        return await self.client.get("/auth/sign-in", params={"next": next_path, **more})

    async def sign_in(self, next_path: str = "/helper") -> httpx.Response:
        """Sign in at the provider; return what the callback answers."""
        return await self.client.get(await self.answer(await self.begin(next_path)))

    async def answer(self, begun: httpx.Response) -> str:
        """Follow to the provider; return where it sends the browser."""
        assert begun.status_code == 303, begun.text
        async with httpx.AsyncClient() as anybody:
            sent_back = await anybody.get(begun.headers["location"])
        back = sent_back.headers["location"]
        assert back.startswith(f"{PAGES}/auth/callback?")
        return str(back.removeprefix(PAGES))

    async def session(self) -> httpx.Response:
        return await self.client.get("/auth/session")

    @property
    def cookie(self) -> str | None:
        return self.client.cookies.get("laundry")


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def services() -> AsyncIterator[FakeServices]:
    """The services, served to all tests of this folder."""
    fake = FakeServices()
    async with serving(fake.app) as client:
        fake.url = str(client.base_url)
        yield fake


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def shared(services: FakeServices, identity: FileIdentity) -> AsyncIterator[Browser]:
    """A provider and the web service, for all tests of this folder."""
    fake = FakeProvider(identity)
    async with serving(fake.app) as client:
        fake.url = str(client.base_url).rstrip("/")
        async with replica(services, fake) as found:
            yield found


@asynccontextmanager
async def replica(services: FakeServices, provider: FakeProvider, **changes: Any) -> AsyncIterator[Browser]:
    """The web service, and a browser that looks at it."""
    settings = settings_for(
        services.url, **{"public_url": PAGES, "session_keys": KEYS} | provider.settings | changes
    )
    async with (
        serving(create_app(settings)) as client,
        httpx.AsyncClient(base_url=client.base_url, headers=HERE, timeout=30) as browser,
    ):
        yield Browser(browser, provider)


@pytest.fixture
def provider(shared: Browser) -> FakeProvider:
    """The provider, as if nobody had ever signed in there."""
    shared.provider.reset()
    return shared.provider


@pytest_asyncio.fixture(loop_scope="session")
async def browser(shared: Browser, provider: FakeProvider, services: FakeServices) -> AsyncIterator[Browser]:
    """A browser without cookies."""
    services.uploads.clear()
    async with httpx.AsyncClient(base_url=shared.client.base_url, headers=HERE, timeout=30) as client:
        yield Browser(client, provider)


def why(response: httpx.Response) -> str:
    """Return what a sign-in that came to nothing tells the start page."""
    assert response.status_code == 303
    address = urlsplit(response.headers["location"])
    assert f"{address.scheme}://{address.netloc}" == PAGES
    return parse_qs(address.query)["sign-in"][0]
