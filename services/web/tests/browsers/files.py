"""Files that a page asks for or hands out, in browsers whose drivers tell of neither."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .tab import Tab

LOOK_EVERY_S = 0.05
# In place of the browser's own window, which nobody could close.
ASKS = """
  const { click } = HTMLInputElement.prototype;
  window.askedForFiles = null;
  HTMLInputElement.prototype.click = function () {
    if (this.type !== "file") return click.call(this);
    HTMLInputElement.prototype.click = click;
    window.askedForFiles = this;
  };
"""
# In place of a file in the folder of whoever runs the tests.
HANDS_OUT = """
  const { click } = HTMLAnchorElement.prototype;
  const { createObjectURL } = URL;
  let content;
  window.handedOut = null;
  URL.createObjectURL = (blob) => {
    content = blob;
    return createObjectURL.call(URL, blob);
  };
  HTMLAnchorElement.prototype.click = function () {
    if (!this.download) return click.call(this);
    HTMLAnchorElement.prototype.click = click;
    URL.createObjectURL = createObjectURL;
    window.handedOut = { name: this.download, content };
  };
"""
HANDED_OUT = """
  if (!window.handedOut) return null;
  const { name, content } = window.handedOut;
  const bytes = new Uint8Array(await content.arrayBuffer());
  return { name, content: btoa(String.fromCharCode(...bytes)) };
"""


@dataclass(frozen=True, slots=True)
class Coming:
    """What a page will ask for or hand out; awaited as ``coming.value``, as Playwright has it."""

    look: Callable[[], Awaitable[Any]]

    @property
    async def value(self) -> Any:
        while (found := await self.look()) is None:
            await asyncio.sleep(LOOK_EVERY_S)
        return found


@dataclass(frozen=True, slots=True)
class FileChooser:
    """A page that waits for files."""

    tab: Tab
    element: Any

    async def set_files(self, files: Sequence[Path]) -> None:
        await self.tab.choose(self.element, files)


@dataclass(frozen=True, slots=True)
class Download:
    """A file that a page handed out."""

    suggested_filename: str
    content: bytes

    async def save_as(self, path: Path) -> None:
        path.write_bytes(self.content)


async def asked(tab: Tab) -> FileChooser | None:
    """Tell for what a page asked since ``ASKS``."""
    element = await tab.element("return window.askedForFiles")
    return None if element is None else FileChooser(tab, element)


async def handed_out(tab: Tab) -> Download | None:
    """Tell what a page handed out since ``HANDS_OUT``."""
    found = await tab.run(HANDED_OUT)
    return None if found is None else Download(found["name"], base64.b64decode(found["content"]))
