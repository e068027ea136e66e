"""The web service in front of fake services, and the browsers that look at it."""

from collections.abc import AsyncIterator, Generator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from playwright.async_api import Page

from laundry_catalogue import proxied_services
from laundry_testing.identity import FileIdentity
from laundry_testing.serving import serving
from web.app import create_app
from web.auth.sealing import Sealer
from web.auth.sessions import Kept
from web.auth.signing_in import SESSION
from web.settings import ProxySettings, WebSettings

from .browsers import DESKTOP, ENGINES, PHONE, Engine, expect
from .browsers.page import PATIENCE_MS
from .browsers.site import Site, served
from .fake_pictures import picture
from .fake_provider import FakeProvider, Person
from .fake_services import FakeServices

KEYS = "the key that seals the cookies of the tests"
WITHOUT_WORKER = "delete Navigator.prototype.serviceWorker;"
FAILED = pytest.StashKey[bool]()
TOLD = "[document.body.innerText.slice(0, 1500), window.lastSeen?.() ?? '']"
AUDIT = Path(__file__).with_name("audit.js").read_text()


def settings_for(url: str, **changes: Any) -> ProxySettings:
    """All services at one address."""
    return WebSettings(**{service.url_key: url for service in proxied_services()} | changes)


@pytest_asyncio.fixture(loop_scope="session")
async def services() -> AsyncIterator[FakeServices]:
    """The fake services, served; their address is ``services.url``."""
    fake = FakeServices()
    async with serving(fake.app) as client:
        fake.url = str(client.base_url)
        yield fake


@pytest_asyncio.fixture(loop_scope="session")
async def site(services: FakeServices) -> AsyncIterator[httpx.AsyncClient]:
    """The web service in front of the fakes."""
    async with serving(create_app(settings_for(services.url))) as client:
        yield client


class Engines:
    """The browsers: each is started when it is first asked for, and runs until all tests are done."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._running: dict[str, Engine] = {}

    async def running(self, name: str) -> Engine:
        if name not in self._running:
            self._running[name] = await self._stack.enter_async_context(ENGINES[name]())
        return self._running[name]


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def engines() -> AsyncIterator[Engines]:
    """Every browser that people have."""
    async with AsyncExitStack() as stack:
        yield Engines(stack)


@pytest_asyncio.fixture(loop_scope="session", scope="session", params=list(ENGINES))
async def engine(engines: Engines, request: pytest.FixtureRequest) -> Engine:
    """Each browser in turn."""
    return await engines.running(request.param)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def chromium(engines: Engines) -> Engine:
    """Chromium alone, for a test that asks for it by name (``CHROMIUM_ONLY`` marks whole modules)."""
    return await engines.running("chromium")


class OpenPage:
    """Opens pages, each in a browser context of its own, with somebody signed in."""

    def __init__(
        self,
        engine: Engine,
        site: Site,
        services: FakeServices,
        provider: FakeProvider,
        stack: AsyncExitStack,
    ) -> None:
        self._engine = engine
        self._site = site
        self._services = services
        self._sealer = Sealer(KEYS)
        self._stack = stack
        self.provider = provider
        self.cable = site.cable
        self.complaints: list[str] = []
        self._pages: list[Page] = []

    def signed_in(self, path: str, person: Person) -> str:
        """Return an address that signs a person in, as the way back from the provider does."""
        kept = Kept("staff", self.provider.grant(person), person.sub, person.name)
        return self._site.signed_in(self._sealer.seal(SESSION, kept.content()), path)

    async def __call__(
        self,
        path: str = "/",
        *,
        role: str | None = None,
        branches: tuple[str, ...] = ("b1",),
        locale: str = "ko-KR",
        desktop: bool = False,
        dark: bool = False,
        sub: str | None = None,
        script: str | None = None,
        person: Person | None = None,
        kept: bool = False,
    ) -> Page:
        """Open a page and wait until it is there.

        Args:
            kept: the phone keeps the pages, which a service worker fetches. Without it the browser is as a
                private window is, and has less to do.
        """
        context = await self._stack.enter_async_context(
            self._engine.context(
                self._site,
                viewport=DESKTOP if desktop else PHONE,
                locale=locale,
                dark=dark,
                complaints=self.complaints,
            )
        )
        if not kept:
            await context.add_init_script(WITHOUT_WORKER)
        if script is not None:
            # Before the page's own scripts: a browser that behaves differently, but for its own empty page.
            await context.add_init_script(f"if (isSecureContext) {{ {script} }}")
        page = await context.new_page()
        self._pages.append(page)
        if person is None and role is not None:
            person = Person(sub or f"{role}-1", role, branches, sub)
        address = path if person is None else self.signed_in(path, person)
        await page.goto(address)
        try:
            await expect(page.locator("main")).to_have_count(1, timeout=PATIENCE_MS)
        except AssertionError:
            # The machine's network changed (a bridge came or went), which breaks off loading everywhere.
            await page.reload()
            # Tests count what a page asks for as it opens.
            self._services.requests.clear()
            await page.goto(address)
        return page

    async def cut_off(self, page: Page) -> None:
        """Take the signal away."""
        # Both: requests of a page that a worker controls may slip through a driver's emulation.
        await self.cable.pull()
        await page.context.set_offline(True)

    async def connect(self, page: Page) -> None:
        """Give it back."""
        await self.cable.plug()
        await page.context.set_offline(False)

    async def tell(self) -> None:
        """Print what each page shows and what happened on it, for who reads why a test failed."""
        for page in self._pages:
            try:
                print(f"--- {page.url}", *await page.evaluate(TOLD), sep="\n")
            except Exception as error:
                print(f"--- a page that tells nothing: {error}")


@pytest_asyncio.fixture(loop_scope="session")
async def provider(identity: FileIdentity) -> AsyncIterator[FakeProvider]:
    """The provider that people sign in at, served."""
    fake = FakeProvider(identity)
    async with serving(fake.app) as client:
        fake.url = str(client.base_url).rstrip("/")
        yield fake


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the pages of a test know whether it failed."""
    report = yield
    item.stash[FAILED] = report.failed
    return report


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(
    engine: Engine, services: FakeServices, provider: FakeProvider, request: pytest.FixtureRequest
) -> AsyncIterator[OpenPage]:
    """Open pages; afterwards nothing unexpected may stand on their consoles."""

    def make(address: str) -> FastAPI:
        return create_app(
            settings_for(services.url, public_url=address, session_keys=KEYS, **provider.settings)
        )

    async with served(make) as site, AsyncExitStack() as stack:
        opener = OpenPage(engine, site, services, provider, stack)
        yield opener
        if request.node.stash[FAILED]:
            await opener.tell()
    assert opener.complaints == []


async def shortcomings(page: Page) -> dict[str, Any]:
    """What keeps people from using a page: nothing, if all is in order (``audit.js``)."""
    found: dict[str, Any] = await page.evaluate(AUDIT)
    return {name: what for name, what in found.items() if what}


@pytest.fixture
def photo_file(tmp_path: Path) -> Path:
    """A photo as a phone has it."""
    file = tmp_path / "IMG_0001.jpg"
    file.write_bytes(picture())
    return file
