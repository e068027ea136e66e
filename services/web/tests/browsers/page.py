"""Pages of the browsers that Playwright does not drive, in as much of its words as the tests use.

Playwright drives only a Firefox and a WebKit that it has patched itself; these are those that people have.
What differs between the protocols stands in ``tab.Tab``.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from . import files
from .tab import Tab

PATIENCE_MS = 20_000
"""How long anything may take to come about, because other tests may have both cores."""
LOOK_EVERY_S = 0.03
"""How soon to look again at first; what takes longer is looked at less often, as each look costs the page."""
LOOK_AT_LEAST_EVERY_S = 0.2
FINDER = f"const {{ find, describe, clickable }} =\n{Path(__file__).with_name('finder.js').read_text()}"

Step = dict[str, Any]
Description = dict[str, Any]


class Queries:
    """What is found on a page, or within something on it."""

    def __init__(self, tab: Tab, steps: Sequence[Step] = ()) -> None:
        self.tab = tab
        self.steps = [*steps]

    def _then(self, by: str, **step: Any) -> "OtherLocator":
        return OtherLocator(self.tab, [*self.steps, {"by": by, **step}])

    def locator(self, what: "str | OtherLocator") -> "OtherLocator":
        if isinstance(what, str):
            return self._then("css", selector=what)
        return OtherLocator(self.tab, [*self.steps, *what.steps])

    def get_by_text(self, text: str, *, exact: bool = False) -> "OtherLocator":
        return self._then("text", wanted=text, exact=exact)

    def get_by_role(
        self, role: str, *, name: str | None = None, exact: bool = False, level: int | None = None
    ) -> "OtherLocator":
        return self._then("role", role=role, name=name, exact=exact, level=level)

    def get_by_label(self, text: str, *, exact: bool = False) -> "OtherLocator":
        return self._then("label", wanted=text, exact=exact)

    def get_by_title(self, text: str, *, exact: bool = False) -> "OtherLocator":
        return self._then("title", wanted=text, exact=exact)


class OtherLocator(Queries):
    """Elements, looked up whenever they are asked for."""

    def filter(self, *, has_text: str) -> "OtherLocator":
        return self._then("holding", wanted=has_text, exact=False)

    def nth(self, index: int) -> "OtherLocator":
        return self._then("nth", index=index)

    @property
    def first(self) -> "OtherLocator":
        return self.nth(0)

    @property
    def last(self) -> "OtherLocator":
        return self.nth(-1)

    async def look(self, asked: str | None = None) -> list[Description]:
        """Describe each element; with its attribute and property of a name."""
        steps, name = json.dumps(self.steps), json.dumps(asked)
        found: list[Description] = await self.tab.run(
            f"{FINDER} return find({steps}).map((each) => describe(each, {name}));"
        )
        return found

    async def count(self) -> int:
        return len(await self.look())

    async def all(self) -> list["OtherLocator"]:
        return [self.nth(index) for index in range(await self.count())]

    async def all_inner_texts(self) -> list[str]:
        return [each["text"] for each in await self.look()]

    async def get_attribute(self, name: str) -> str | None:
        found: str | None = await self._act(f"return element.getAttribute({json.dumps(name)})")
        return found

    async def wait_for(self) -> None:
        await Expectation(self).to_be_visible()

    async def click(self) -> None:
        async with _patience(f"a click on {self.steps}") as pauses:
            while True:
                page = await self.tab.run("return performance.timeOrigin")
                element = await self.tab.element(f"{FINDER} return clickable({json.dumps(self.steps)})")
                clicked = element is not None and await self.tab.click(element)
                # What moves at the last moment is missed; what was left has been clicked.
                if clicked and await self.tab.run(
                    f"return window.wasClicked || performance.timeOrigin !== {page}"
                ):
                    return
                await pauses.wait()

    async def fill(self, text: str) -> None:
        await self._act(
            f"""const {{ prototype }} = element.constructor;
            element.focus();
            Object.getOwnPropertyDescriptor(prototype, "value").set.call(element, {json.dumps(text)});
            element.dispatchEvent(new InputEvent("input", {{ bubbles: true }}));"""
        )

    async def select_option(self, value: str) -> None:
        choose = f"""const wanted = {json.dumps(value)};
            const meant = [...element.options].find(({{ value, label }}) => [value, label].includes(wanted));
            if (!meant) return false;
            element.value = meant.value;
            element.dispatchEvent(new Event("input", {{ bubbles: true }}));
            element.dispatchEvent(new Event("change", {{ bubbles: true }}));
            return true;"""
        async with _patience(f"the option {value!r} at {self.steps}") as pauses:
            while not await self._act(choose):
                await pauses.wait()

    async def uncheck(self) -> None:
        await self._act("if (element.checked) element.click();")

    async def press(self, key: str) -> None:
        """Tell the page of a key; what the browser itself would do with it does not happen."""
        event = f"{{ key: {json.dumps(key)}, bubbles: true, cancelable: true }}"
        await self._act(
            f"""element.focus();
            element.dispatchEvent(new KeyboardEvent("keydown", {event}));
            element.dispatchEvent(new KeyboardEvent("keyup", {event}));"""
        )

    async def focus(self) -> None:
        await self._act("element.focus();")

    async def evaluate(self, script: str) -> Any:
        return await self._act(f"return ({script})(element);")

    async def set_input_files(self, files: Path | Sequence[Path]) -> None:
        async with _patience(f"a place for files at {self.steps}") as pauses:
            while (
                element := await self.tab.element(f"{FINDER} return find({json.dumps(self.steps)})[0]")
            ) is None:
                await pauses.wait()
        await self.tab.choose(element, [files] if isinstance(files, Path) else files)

    async def _act(self, script: str) -> Any:
        """Run a script with the one ``element`` that is meant, once it is there."""
        await Expectation(self).to_have_count(1)
        return await self.tab.run(f"{FINDER} const [element] = find({json.dumps(self.steps)}); {script}")


class OtherPage(Queries):
    """A page; its addresses begin where its context's do."""

    def __init__(self, tab: Tab, context: Any, base_url: str) -> None:
        super().__init__(tab)
        self.context = context
        self._base_url = base_url

    async def goto(self, address: str) -> None:
        await self.tab.goto(f"{self._base_url}{address}" if address.startswith("/") else address)

    async def reload(self) -> None:
        await self.tab.reload()

    async def evaluate(self, script: str, argument: Any = None) -> Any:
        return await self.tab.run(
            f"""const meant = (\n{script.rstrip().removesuffix(";")}\n);
            return typeof meant === "function" ? meant({json.dumps(argument)}) : meant;"""
        )

    @asynccontextmanager
    async def expect_file_chooser(self) -> AsyncIterator[files.Coming]:
        await self.tab.run(files.ASKS)
        yield files.Coming(lambda: files.asked(self.tab))

    @asynccontextmanager
    async def expect_download(self) -> AsyncIterator[files.Coming]:
        await self.tab.run(files.HANDS_OUT)
        yield files.Coming(lambda: files.handed_out(self.tab))

    async def set_viewport_size(self, size: dict[str, int]) -> None:
        await self.tab.resize(size["width"], size["height"])

    async def close(self) -> None:
        await self.tab.close()


class Expectation:
    """Waits until what is expected is so."""

    def __init__(self, actual: OtherPage | OtherLocator) -> None:
        self._actual = actual

    async def to_be_visible(self) -> None:
        await self._until("is visible", lambda found: _only(found)["shown"])

    async def to_be_hidden(self, *, timeout: float = PATIENCE_MS) -> None:
        await self._until("is hidden", lambda found: not any(each["shown"] for each in found), timeout)

    async def to_have_count(self, count: int, *, timeout: float = PATIENCE_MS) -> None:
        await self._until(f"are {count}", lambda found: len(found) == count, timeout)

    async def to_contain_text(self, text: str) -> None:
        await self._until(f"contains {text!r}", lambda found: _plain(text) in _only(found)["text"])

    async def not_to_contain_text(self, text: str) -> None:
        await self._until(
            f"does not contain {text!r}", lambda found: _plain(text) not in _only(found)["text"]
        )

    async def to_have_text(self, text: str | list[str]) -> None:
        def so(found: list[Description]) -> bool:
            if isinstance(text, list):
                return [each["text"] for each in found] == [_plain(each) for each in text]
            return bool(_only(found)["text"] == _plain(text))

        await self._until(f"reads {text!r}", so)

    async def to_have_attribute(self, name: str, value: str) -> None:
        await self._until(f"has {name}={value}", lambda found: _only(found)["attribute"] == value, asked=name)

    async def to_have_js_property(self, name: str, value: Any) -> None:
        await self._until(f"has .{name}={value}", lambda found: _only(found)["property"] == value, asked=name)

    async def not_to_be_checked(self) -> None:
        await self.to_have_js_property("checked", False)

    async def to_have_value(self, value: str) -> None:
        await self._until(f"holds {value!r}", lambda found: _only(found)["value"] == value)

    async def to_be_disabled(self) -> None:
        await self._until("is disabled", lambda found: _only(found)["disabled"])

    async def to_be_focused(self) -> None:
        await self._until("has the focus", lambda found: _only(found)["focused"])

    async def to_have_title(self, title: str) -> None:
        async with _patience(f"the title {title!r}") as pauses:
            while await self._actual.tab.run("return document.title") != title:
                await pauses.wait()

    async def _until(
        self,
        what: str,
        so: Callable[[list[Description]], bool],
        timeout_ms: float = PATIENCE_MS,
        *,
        asked: str | None = None,
    ) -> None:
        assert isinstance(self._actual, OtherLocator)
        found: list[Description] = []
        broken: AssertionError | None = None
        pauses = Pauses()
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while True:
                    try:
                        found, broken = await self._actual.look(asked), None
                        if so(found):
                            return
                    except LookupError:
                        pass
                    except AssertionError as error:  # the page that was asked is just leaving
                        broken = error
                    await pauses.wait()
        except TimeoutError:
            shown = None
            with suppress(Exception):  # a page that is just leaving has none
                async with asyncio.timeout(LOOK_EVERY_S * 20):
                    shown = await self._actual.tab.run("return document.body.innerText")
            raise AssertionError(
                f"{self._actual.steps} {what}? There is {found}; the page shows:\n{shown}"
            ) from broken


def _only(found: list[Description]) -> Description:
    if not found:
        raise LookupError
    [one] = found
    return one


def _plain(text: str) -> str:
    return " ".join(text.split())


class Pauses:
    """Waits between looks: a little longer each time."""

    def __init__(self) -> None:
        self._next_s = LOOK_EVERY_S

    async def wait(self) -> None:
        await asyncio.sleep(self._next_s)
        self._next_s = min(1.5 * self._next_s, LOOK_AT_LEAST_EVERY_S)


@asynccontextmanager
async def _patience(what: str) -> AsyncIterator[Pauses]:
    """Bound what follows, and say what was waited for."""
    try:
        async with asyncio.timeout(PATIENCE_MS / 1000):
            yield Pauses()
    except TimeoutError:
        raise AssertionError(f"waited in vain for {what}") from None
