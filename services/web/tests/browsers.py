"""The three engines that people have, driven alike: by Playwright, WebDriver BiDi and WebDriver.

Playwright drives only a Firefox and a WebKit that it has patched itself. These are those that Debian ships.
"""

import asyncio
import json
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
import websockets
from playwright.async_api import Browser, Page, async_playwright

START_S = 60
ANSWER_S = 60
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
PACKAGES = {
    "chromium": "chromium",
    "firefox-esr": "firefox-esr",
    "WebKitWebDriver": "webkit2gtk-driver",
    "Xvfb": "xvfb",
}
HEIGHT = 844
# The bar with the address would keep the window wider than a phone.
NARROW = "* { padding: 0; margin: 0; border-width: 0; min-width: 0; min-height: 0; font-size: 1px; }"


class Window(Protocol):
    """A window of its own: nothing that another has kept is in it."""

    async def go(self, address: str) -> None:
        """Open an address and wait until it is loaded."""

    async def run(self, script: str) -> Any:
        """Run the body of an asynchronous function and return what it returns, which must be JSON."""

    async def choose(self, selector: str, files: list[Path]) -> None:
        """Choose files as a person does."""

    async def widen(self, pixels: int) -> None:
        """Set how wide the page is shown."""


def program(name: str) -> str:
    """Find a program; without it the test is skipped, but never where everything must be tested."""
    found = os.environ.get("LAUNDRY_CHROMIUM") if name == "chromium" else None
    found = found or shutil.which(name)
    if found is None:
        missing = f"{name} is not installed: apt-get install {PACKAGES[name]}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


class ChromiumWindow:
    """A page of Playwright's."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def go(self, address: str) -> None:
        await self.page.goto(address)

    async def run(self, script: str) -> Any:
        return await self.page.evaluate(f"async () => {{ {script} }}")

    async def choose(self, selector: str, files: list[Path]) -> None:
        await self.page.locator(selector).set_input_files(files)

    async def widen(self, pixels: int) -> None:
        await self.page.set_viewport_size({"width": pixels, "height": HEIGHT})


@asynccontextmanager
async def chromium_running() -> AsyncIterator[Browser]:
    """Start Chromium."""
    path = program("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        await browser.close()


@asynccontextmanager
async def chromium_window(browser: Browser) -> AsyncIterator[Window]:
    """Open a window of Chromium."""
    context = await browser.new_context()
    try:
        yield ChromiumWindow(await context.new_page())
    finally:
        await context.close()


class Firefox:
    """A running Firefox, spoken to in WebDriver BiDi."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._number = 0

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        number = self._number
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        async with asyncio.timeout(ANSWER_S):
            while True:
                answer = json.loads(await self._socket.recv())
                if answer.get("id") != number:
                    continue
                if answer["type"] == "error":
                    raise AssertionError(f"{method}: {answer['error']}: {answer['message']}")
                result: dict[str, Any] = answer["result"]
                return result


class FirefoxWindow:
    """A tab in a user context of its own."""

    def __init__(self, firefox: Firefox, context: str) -> None:
        self._firefox = firefox
        self._context = context

    async def go(self, address: str) -> None:
        await self._firefox.ask(
            "browsingContext.navigate", context=self._context, url=address, wait="complete"
        )

    async def run(self, script: str) -> Any:
        answer = await self._evaluate(f"(async () => JSON.stringify(await (async () => {{ {script} }})()))()")
        return json.loads(answer["value"]) if "value" in answer else None

    async def choose(self, selector: str, files: list[Path]) -> None:
        element = await self._evaluate(f"document.querySelector({json.dumps(selector)})")
        reference = {"sharedId": element["sharedId"]}
        names = [str(file) for file in files]
        await self._firefox.ask("input.setFiles", context=self._context, element=reference, files=names)

    async def widen(self, pixels: int) -> None:
        size = {"width": pixels, "height": HEIGHT}
        await self._firefox.ask("browsingContext.setViewport", context=self._context, viewport=size)

    async def _evaluate(self, expression: str) -> dict[str, Any]:
        answer = await self._firefox.ask(
            "script.evaluate", expression=expression, target={"context": self._context}, awaitPromise=True
        )
        assert answer["type"] == "success", answer
        result: dict[str, Any] = answer["result"]
        return result


@asynccontextmanager
async def firefox_running() -> AsyncIterator[Firefox]:
    """Start Firefox as somebody has it who has never opened it before."""
    path = program("firefox-esr")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = ("--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0")
        process = await asyncio.create_subprocess_exec(
            path, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            where = await _when_there(Path(profile, "WebDriverBiDiServer.json"), process)
            address = f"ws://{where['ws_host']}:{where['ws_port']}/session"
            async with websockets.connect(address, max_size=None, ping_interval=None) as socket:
                firefox = Firefox(socket)
                await firefox.ask("session.new", capabilities={})
                yield firefox
        finally:
            await _end(process)


@asynccontextmanager
async def firefox_window(firefox: Firefox) -> AsyncIterator[Window]:
    """Open a window of Firefox."""
    user = (await firefox.ask("browser.createUserContext"))["userContext"]
    try:
        made = await firefox.ask("browsingContext.create", type="tab", userContext=user)
        yield FirefoxWindow(firefox, made["context"])
    finally:
        await firefox.ask("browser.removeUserContext", userContext=user)


class WebKit:
    """A running driver of WebKitGTK, spoken to in WebDriver."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def ask(self, method: str, path: str, **body: Any) -> Any:
        """Send a command and return its value."""
        sent = {"json": body} if method == "POST" else {}
        answer = await self._client.request(method, path, **sent)
        value = answer.json()["value"]
        assert answer.is_success, f"{path}: {value}"
        return value


class WebKitWindow:
    """A session: WebKit's automation keeps nothing from one to the next."""

    def __init__(self, webkit: WebKit, session: str) -> None:
        self._webkit = webkit
        self._session = session

    async def go(self, address: str) -> None:
        await self._ask("url", url=address)

    async def run(self, script: str) -> Any:
        body = f"""
          const done = arguments[0];
          const work = async () => {{ {script} }};
          work().then((value) => done([value ?? null]), (error) => done(String(error)));
        """
        answer = await self._ask("execute/async", script=body, args=[])
        assert isinstance(answer, list), answer
        return answer[0]

    async def choose(self, selector: str, files: list[Path]) -> None:
        element = await self._ask("element", using="css selector", value=selector)
        await self._ask(f"element/{element[ELEMENT]}/value", text="\n".join(str(file) for file in files))

    async def widen(self, pixels: int) -> None:
        """The window is more than its page, and how much more differs from desktop to desktop."""
        wanted = pixels
        for _ in range(4):
            await self._ask("window/rect", width=wanted, height=HEIGHT)
            shown = await self.run("return innerWidth")
            if shown == pixels:
                return
            wanted += pixels - shown
        raise AssertionError(f"the page is {shown} px wide instead of {pixels}")

    async def _ask(self, command: str, **body: Any) -> Any:
        return await self._webkit.ask("POST", f"/session/{self._session}/{command}", **body)


@asynccontextmanager
async def webkit_running() -> AsyncIterator[WebKit]:
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
    process = None
    try:
        async with asyncio.timeout(START_S):
            display = (await asyncio.to_thread(os.read, read, 32)).decode().strip()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            driver,
            f"--port={port}",
            env={
                **os.environ,
                "DISPLAY": f":{display}",
                "GDK_BACKEND": "x11",
                "XDG_CONFIG_HOME": settings.name,
            },
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=ANSWER_S) as client:
            await _when_ready(client, process)
            yield WebKit(client)
    finally:
        os.close(read)
        if process is not None:
            await _end(process)
        await _end(screen)
        settings.cleanup()


@asynccontextmanager
async def webkit_window(webkit: WebKit) -> AsyncIterator[Window]:
    """Open a window of WebKit."""
    made = await webkit.ask("POST", "/session", capabilities={"alwaysMatch": {}})
    session = made["sessionId"]
    try:
        yield WebKitWindow(webkit, session)
    finally:
        await webkit.ask("DELETE", f"/session/{session}")


ENGINES: dict[str, tuple[Any, Any]] = {
    "chromium": (chromium_running, chromium_window),
    "firefox": (firefox_running, firefox_window),
    "webkit": (webkit_running, webkit_window),
}


class Engines:
    """Each is started when it is first asked for, and runs until all tests are done."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._running: dict[str, Any] = {}

    @asynccontextmanager
    async def window(self, name: str) -> AsyncIterator[Window]:
        running, window = ENGINES[name]
        if name not in self._running:
            self._running[name] = await self._stack.enter_async_context(running())
        async with window(self._running[name]) as opened:
            yield opened


async def _when_there(file: Path, process: asyncio.subprocess.Process) -> dict[str, Any]:
    async with asyncio.timeout(START_S):
        while True:
            assert process.returncode is None, "the browser has ended"
            try:
                found: dict[str, Any] = json.loads(file.read_text())
            except (FileNotFoundError, json.JSONDecodeError):
                await asyncio.sleep(0.05)
            else:
                return found


async def _when_ready(client: httpx.AsyncClient, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(START_S):
        while True:
            assert process.returncode is None, "the driver has ended"
            try:
                await client.get("/status")
            except httpx.ConnectError:
                await asyncio.sleep(0.05)
            else:
                return


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(10):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
