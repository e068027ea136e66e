"""The Firefox that people have, spoken to in WebDriver BiDi."""

import asyncio
import itertools
import json
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import websockets
from playwright.async_api import BrowserContext

from .page import OtherPage
from .programs import end, program, until_there
from .site import Site

ANSWER_S = 60
# What it says of itself, of requests that a test made fail, and of an image that was still loading as its
# page was left or reloaded.
EXPECTED_ON_CONSOLE = re.compile(
    r"NetworkError|Failed to load|can.t establish a connection|was interrupted while|Image corrupt"
)


# A tab here lives for seconds, and a third of its cost is this. What differs from what people have: in which
# process a page runs, what the browser does for itself beside it, and that the person wants no motion.
PREFERENCES: dict[str, bool | int] = {
    "fission.autostart": False,
    "dom.ipc.processCount": 1,
    "dom.ipc.processPrelaunch.enabled": False,
    "browser.tabs.remote.separatePrivilegedContentProcess": False,
    "browser.cache.disk.enable": False,
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.sessionstore.resume_from_crash": False,
    "privacy.trackingprotection.annotate_channels": False,
    "ui.prefersReducedMotion": 1,
}


class Firefox:
    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._listeners: set[Callable[[dict[str, Any]], None]] = set()

    async def listen(self) -> None:
        """Hand over what it says until the connection ends."""
        async for text in self._socket:
            said = json.loads(text)
            if said["type"] == "event":
                for listener in list(self._listeners):
                    listener(said)
            elif (answer := self._answers.pop(said["id"], None)) is not None and not answer.done():
                answer.set_result(said)

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        async with asyncio.timeout(ANSWER_S):
            said = await answer
        if said["type"] == "error":
            raise AssertionError(f"{method}: {said['error']}: {said['message']}")
        result: dict[str, Any] = said["result"]
        return result

    @asynccontextmanager
    async def context(
        self, site: Site, *, viewport: dict[str, int], locale: str, dark: bool, complaints: list[str]
    ) -> AsyncIterator[BrowserContext]:
        if dark:
            pytest.skip("Firefox's driver has no command for dark colours")
        user = (await self.ask("browser.createUserContext"))["userContext"]
        context = FirefoxContext(self, user, site.address, viewport)
        here = {"userContexts": [user]}
        await self.ask("emulation.setLocaleOverride", locale=locale, **here)

        def listen(event: dict[str, Any]) -> None:
            entry = event["params"]
            if event["method"] != "log.entryAdded" or entry["level"] not in ("warn", "error"):
                return
            if entry["source"].get("context") in context.tabs and not EXPECTED_ON_CONSOLE.search(
                entry["text"] or ""
            ):
                complaints.append(entry["text"])

        self._listeners.add(listen)
        try:
            yield cast(BrowserContext, context)
        finally:
            self._listeners.discard(listen)
            await self.ask("browser.removeUserContext", userContext=user)


class FirefoxContext:
    """A user context: what its tabs keep is theirs alone."""

    def __init__(self, firefox: Firefox, user: str, address: str, viewport: dict[str, int]) -> None:
        self._firefox = firefox
        self._user = user
        self._address = address
        self._viewport = viewport
        self.tabs: set[str] = set()

    async def new_page(self) -> OtherPage:
        made = await self._firefox.ask("browsingContext.create", type="tab", userContext=self._user)
        self.tabs.add(made["context"])
        page = OtherPage(FirefoxTab(self._firefox, made["context"]), self, self._address)
        await page.set_viewport_size(self._viewport)
        return page

    async def add_init_script(self, script: str) -> None:
        declared = f"() => {{ {script} }}"
        await self._firefox.ask(
            "script.addPreloadScript", functionDeclaration=declared, userContexts=[self._user]
        )

    async def set_offline(self, offline: bool) -> None:
        conditions = {"type": "offline"} if offline else None
        await self._firefox.ask(
            "emulation.setNetworkConditions", networkConditions=conditions, userContexts=[self._user]
        )


class FirefoxTab:
    def __init__(self, firefox: Firefox, context: str) -> None:
        self._firefox = firefox
        self._context = context

    async def goto(self, address: str) -> None:
        await self._ask("browsingContext.navigate", url=address, wait="complete")

    async def reload(self) -> None:
        await self._ask("browsingContext.reload", wait="complete")

    async def run(self, body: str) -> Any:
        answer = await self._evaluate(f"(async () => JSON.stringify(await (async () => {{ {body} }})()))()")
        return json.loads(answer["value"]) if "value" in answer else None

    async def element(self, body: str) -> Any:
        answer = await self._evaluate(f"(async () => {{ {body} }})()")
        return {"sharedId": answer["sharedId"]} if "sharedId" in answer else None

    async def click(self, element: Any) -> bool:
        origin = {"type": "element", "element": element}
        actions = [
            {"type": "pointerMove", "x": 0, "y": 0, "origin": origin},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        mouse = {"type": "pointer", "id": "mouse", "actions": actions}
        try:
            await self._ask("input.performActions", actions=[mouse])
        except AssertionError as error:
            if any(gone in str(error) for gone in ("out of bounds", "no such node", "no such element")):
                return False
            raise
        return True

    async def choose(self, element: Any, files: Sequence[Path]) -> None:
        await self._ask("input.setFiles", element=element, files=[str(file) for file in files])

    async def resize(self, width: int, height: int) -> None:
        await self._ask("browsingContext.setViewport", viewport={"width": width, "height": height})

    async def close(self) -> None:
        await self._ask("browsingContext.close")

    async def _evaluate(self, expression: str) -> dict[str, Any]:
        answer = await self._firefox.ask(
            "script.evaluate", expression=expression, target={"context": self._context}, awaitPromise=True
        )
        assert answer["type"] == "success", answer
        result: dict[str, Any] = answer["result"]
        return result

    async def _ask(self, method: str, **parameters: Any) -> None:
        await self._firefox.ask(method, context=self._context, **parameters)


@asynccontextmanager
async def running() -> AsyncIterator[Firefox]:
    """Start Firefox as somebody has it who has never opened it before."""
    path = program("firefox-esr")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        Path(profile, "user.js").write_text(
            "".join(
                f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
                for name, value in PREFERENCES.items()
            )
        )
        arguments = ("--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0")
        process = await asyncio.create_subprocess_exec(
            path, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )

        async def listens() -> dict[str, Any] | None:
            try:
                found: dict[str, Any] = json.loads(Path(profile, "WebDriverBiDiServer.json").read_text())
            except (FileNotFoundError, json.JSONDecodeError):
                return None
            return found

        try:
            where = await until_there(listens, process)
            address = f"ws://{where['ws_host']}:{where['ws_port']}/session"
            async with websockets.connect(address, max_size=None, ping_interval=None) as socket:
                firefox = Firefox(socket)
                listening = asyncio.create_task(firefox.listen(), name="firefox")
                await firefox.ask("session.new", capabilities={})
                await firefox.ask("session.subscribe", events=["log.entryAdded"])
                yield firefox
            await listening
        finally:
            await end(process)
