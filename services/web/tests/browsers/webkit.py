"""WebKitGTK, spoken to in WebDriver, on a screen of its own.

Its automation is a private session: nothing is kept from one to the next. It has no commands for a script
before the page's, for what stands on the console, for languages and for being without a signal; ``Site`` does
these on the way.
"""

import asyncio
import json
import os
import re
import signal
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import httpx
from playwright.async_api import BrowserContext

from laundry_servers.ports import free_port

from .page import OtherPage
from .programs import START_S, end, program, until_there
from .site import COMPLAINTS, Site

ANSWER_S = 60
# A window takes its size some time after it is given.
RESIZES = 12
SETTLES_S = 0.1
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
# The bar with the address would keep the window wider than a phone.
NARROW = "* { padding: 0; margin: 0; border-width: 0; min-width: 0; min-height: 0; font-size: 1px; }"
GONE = ("stale element", "intercepted", "no such element")
EXPECTED_ON_CONSOLE = re.compile(r"Failed to load resource|Could not connect|network connection was lost")
LISTENING = f"""
  const complain = (...parts) => navigator.sendBeacon("{COMPLAINTS}", parts.map(String).join(" "));
  for (const name of ["error", "warn"]) {{
    const before = console[name];
    console[name] = (...parts) => (complain(...parts), before.apply(console, parts));
  }}
  addEventListener("error", (event) => complain(event.message));
  addEventListener("unhandledrejection", (event) => complain(event.reason));
  const forbidden = (event) => complain(event.violatedDirective, event.blockedURI);
  document.addEventListener("securitypolicyviolation", forbidden);
"""
SPEAKING = 'Object.defineProperty(Navigator.prototype, "languages", {{ get: () => [{locale}] }});'
SIGNAL = """
  Object.defineProperty(Navigator.prototype, "onLine", { configurable: true, get: () => %s });
  dispatchEvent(new Event("%s"));
"""
FORGET = """
  localStorage.clear();
  for (const each of await navigator.serviceWorker.getRegistrations()) await each.unregister();
  for (const name of await caches.keys()) await caches.delete(name);
  const asked = indexedDB.deleteDatabase("laundry");
  await new Promise((resolve) => (asked.onsuccess = asked.onerror = asked.onblocked = resolve));
"""


class WebKit:
    """A driver with one session, which goes on with the next context of the same colours.

    A session that once did not answer, or could not be tidied, would fail every later context. Its driver is
    ended, and the next context has another.
    """

    def __init__(
        self, start: Callable[[], AbstractAsyncContextManager[httpx.AsyncClient]], settings: Path
    ) -> None:
        self._start = start
        self._settings = settings
        self._driver = AsyncExitStack()
        self._client: httpx.AsyncClient | None = None
        self._silent = False
        self.answer_s: float = ANSWER_S
        self._session: str | None = None
        self._dark = False
        self._handle: str | None = None

    async def ask(self, method: str, path: str, **body: Any) -> Any:
        """Send a command and return its value."""
        assert self._client is not None
        try:
            answer = await self._client.request(
                method, path, json=body if method == "POST" else None, timeout=self.answer_s
            )
        except httpx.TransportError:
            self._silent = True
            raise
        value = answer.json()["value"]
        assert answer.is_success, f"{path}: {value}"
        return value

    async def in_tab(self, handle: str, method: str, command: str, **body: Any) -> Any:
        """Send a command to a tab."""
        if handle != self._handle:
            await self.ask("POST", f"/session/{self._session}/window", handle=handle)
            self._handle = handle
        return await self.ask(method, f"/session/{self._session}/{command}", **body)

    async def new_tab(self) -> str:
        made = await self.ask("POST", f"/session/{self._session}/window/new", type="tab")
        handle: str = made["handle"]
        return handle

    async def close_tab(self, handle: str) -> None:
        """Close a tab; with the last of them the session ends."""
        await self.in_tab(handle, "DELETE", "window")
        self._handle = None

    @asynccontextmanager
    async def context(
        self, site: Site, *, viewport: dict[str, int], locale: str, dark: bool, complaints: list[str]
    ) -> AsyncIterator[BrowserContext]:
        first = await self._begin(dark)
        site.script = None
        context = WebKitContext(self, first, site, viewport)
        await context.add_init_script(LISTENING + SPEAKING.format(locale=json.dumps(locale)))
        try:
            yield cast(BrowserContext, context)
        finally:
            await self._tidy(context)
            complaints += [said for said in site.complaints if not EXPECTED_ON_CONSOLE.search(said)]
            site.complaints.clear()

    async def _tidy(self, context: "WebKitContext") -> None:
        try:
            if not self._silent:
                await context.close()
        except httpx.TimeoutException as error:
            # The test has seen what it wanted to see: this is the driver's, and another one follows.
            warnings.warn(f"WebKit did not answer when its tabs were closed: {error!r}", stacklevel=1)
        except BaseException:
            self._silent = True
            raise
        finally:
            if self._silent:
                await self.stop()

    async def stop(self) -> None:
        """End the driver, with the session if it answers."""
        try:
            if not self._silent:
                await self.end()
        finally:
            self._session = self._handle = self._client = None
            self._silent = False
            await self._driver.aclose()

    async def _begin(self, dark: bool) -> str:
        """Open a session, or go on with the one that is open; return its tab."""
        if self._client is None:
            self._client = await self._driver.enter_async_context(self._start())
        if self._session is None or dark != self._dark:
            await self.end()
            theme = self._settings / "gtk-3.0" / "settings.ini"
            # Without motion: where nothing draws by a graphics card, a moving page takes half a core.
            theme.write_text(
                f"[Settings]\ngtk-application-prefer-dark-theme={int(dark)}\ngtk-enable-animations=0\n"
            )
            made = await self.ask("POST", "/session", capabilities={"alwaysMatch": {}})
            self._session, self._dark = made["sessionId"], dark
        handles: list[str] = await self.ask("GET", f"/session/{self._session}/window/handles")
        return handles[0]

    async def end(self) -> None:
        if self._session is not None:
            await self.ask("DELETE", f"/session/{self._session}")
        self._session = self._handle = None


class WebKitContext:
    """The tabs of a session, which forgets what they kept when they are closed."""

    def __init__(self, webkit: WebKit, first: str, site: Site, viewport: dict[str, int]) -> None:
        self._webkit = webkit
        self._free: str | None = first
        self._site = site
        self._viewport = viewport
        self.tabs: list[WebKitTab] = []
        self.signal = ""

    async def new_page(self) -> OtherPage:
        handle, self._free = self._free or await self._webkit.new_tab(), None
        tab = WebKitTab(self._webkit, handle, self)
        self.tabs.append(tab)
        page = OtherPage(tab, self, self._site.address)
        await page.set_viewport_size(self._viewport)
        return page

    async def add_init_script(self, script: str) -> None:
        self._site.script = f"{self._site.script or ''}\n{{ {script} }}"

    async def set_offline(self, offline: bool) -> None:
        if offline:
            self.signal = SIGNAL % ("false", "offline")
            await self._site.cable.pull()
        else:
            self.signal = ""
            await self._site.cable.plug()
        for tab in self.tabs:
            await tab.run(SIGNAL % (str(not offline).lower(), "offline" if offline else "online"))

    async def close(self) -> None:
        """Leave one empty tab, and nothing that was kept."""
        for tab in self.tabs[1:]:
            await tab.close()
        if self._free is None and not self.tabs:
            await self._webkit.end()
        for tab in self.tabs:
            if self.signal:
                await self._site.cable.plug()
            self.signal = ""
            await tab.goto(f"{self._site.address}/static/icon.svg")
            await tab.run(FORGET)
            await tab.forget_cookies()


class WebKitTab:
    def __init__(self, webkit: WebKit, handle: str, context: WebKitContext) -> None:
        self._webkit = webkit
        self._handle = handle
        self._context = context

    async def goto(self, address: str) -> None:
        await self._ask("url", url=address)
        await self._without_a_signal()

    async def reload(self) -> None:
        await self._ask("refresh")
        await self._without_a_signal()

    async def run(self, body: str) -> Any:
        script = f"""
          const done = arguments[0];
          const work = async () => {{ {body} }};
          work().then((value) => done([value ?? null]), (error) => done(String(error)));
        """
        answer = await self._ask("execute/async", script=script, args=[])
        assert isinstance(answer, list), answer
        return answer[0]

    async def element(self, body: str) -> Any:
        script = f"""
          const done = arguments[0];
          const work = async () => {{ {body} }};
          work().then((found) => done(found ?? null), (error) => done(String(error)));
        """
        try:
            found = await self._ask("execute/async", script=script, args=[])
        except AssertionError as error:
            # The page drew itself between the script's end and its answer.
            if any(gone in str(error) for gone in GONE):
                return None
            raise
        assert found is None or isinstance(found, dict), found
        return found[ELEMENT] if found else None

    async def click(self, element: Any) -> bool:
        try:
            await self._ask(f"element/{element}/click")
        except AssertionError as error:
            if any(gone in str(error) for gone in GONE):
                return False
            raise
        return True

    async def choose(self, element: Any, files: Sequence[Path]) -> None:
        await self._ask(f"element/{element}/value", text="\n".join(str(file) for file in files))

    async def resize(self, width: int, height: int) -> None:
        """The window is more than its page, and how much more differs from desktop to desktop."""
        wanted, shown = width, 0
        for _ in range(RESIZES):
            await self._ask("window/rect", width=wanted, height=height)
            shown = await self._settled_width(width)
            if shown == width:
                return
            # On a busy machine that may be the earlier width, which says nothing of the window's edges.
            wanted += width - shown if wanted + width > shown else 0
        raise AssertionError(f"the page is {shown} px wide instead of {width}")

    async def _settled_width(self, width: int) -> int:
        """Return how wide the page is: as asked, or twice the same."""
        shown = 0
        while (now := int(await self.run("return innerWidth"))) not in (width, shown):
            shown = now
            await asyncio.sleep(SETTLES_S)
        return now

    async def forget_cookies(self) -> None:
        await self._webkit.in_tab(self._handle, "DELETE", "cookie")

    async def close(self) -> None:
        await self._webkit.close_tab(self._handle)
        self._context.tabs.remove(self)

    async def _without_a_signal(self) -> None:
        if self._context.signal:
            await self.run(self._context.signal)

    async def _ask(self, command: str, **body: Any) -> Any:
        return await self._webkit.in_tab(self._handle, "POST", command, **body)


@asynccontextmanager
async def running() -> AsyncIterator[WebKit]:
    """Start WebKitGTK's driver on a screen of its own."""
    driver, xvfb = program("WebKitWebDriver"), program("Xvfb")
    settings = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    style = Path(settings.name, "gtk-3.0", "gtk.css")
    style.parent.mkdir()
    style.write_text(NARROW)
    read, write = os.pipe()
    os.set_inheritable(write, True)
    screen = await asyncio.create_subprocess_exec(
        xvfb,
        "-displayfd", str(write), "-screen", "0", "1600x1000x24", "-nolisten", "tcp",
        pass_fds=[write], stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    try:
        async with asyncio.timeout(START_S):
            display = (await asyncio.to_thread(os.read, read, 32)).decode().strip()
        webkit = WebKit(lambda: _driver(driver, display, settings.name), Path(settings.name))
        try:
            yield webkit
        finally:
            await webkit.stop()
    finally:
        os.close(read)
        await end(screen)
        settings.cleanup()


@asynccontextmanager
async def _driver(program: str, display: str, settings: str) -> AsyncIterator[httpx.AsyncClient]:
    """Start the driver; with it the browsers end that it started."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        program,
        f"--port={port}",
        env={
            **os.environ,
            # A page here lives for seconds: to draw it by a graphics card that is not there, and to
            # compile its scripts further, is a quarter of its cost and changes nothing that is seen.
            "WEBKIT_DISABLE_COMPOSITING_MODE": "1",
            "JSC_useDFGJIT": "0",
            "JSC_useFTLJIT": "0",
            "DISPLAY": f":{display}",
            "GDK_BACKEND": "x11",
            "XDG_CONFIG_HOME": settings,
        },
        start_new_session=True,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=ANSWER_S) as client:

            async def answers() -> bool | None:
                try:
                    await client.get("/status")
                except httpx.ConnectError:
                    return None
                return True

            await until_there(answers, process)
            yield client
    finally:
        await end(process)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
