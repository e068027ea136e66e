"""The look of the pages where another service shows some of its own: made from that of services/web."""

from collections.abc import Iterator
from pathlib import Path

from laundry.paths import PROJECT

WEB = PROJECT / "services" / "web" / "src" / "web" / "static"
IDENTITY = PROJECT / "services" / "identity" / "src" / "identity" / "static"
# The material, what can be pressed, and the page of who is not signed in.
SHEETS = ("base", "controls", "start")


def files() -> Iterator[tuple[Path, str]]:
    """Yield each file with the text that it should have."""
    sheets = (f"/* {name}.css */\n\n" + (WEB / "css" / f"{name}.css").read_text() for name in SHEETS)
    header = "/* Written by `make contracts` from services/web. */\n\n"
    yield IDENTITY / "house.css", header + "\n".join(sheets)
    yield IDENTITY / "icon.svg", (WEB / "icon.svg").read_text()
