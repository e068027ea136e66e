"""What the pages' server passes on, in its README: made from the catalogue."""

from collections.abc import Iterable

from laundry.marks import replaced
from laundry.paths import PROJECT
from laundry_catalogue import SERVICES, Service

FILE = PROJECT / "services" / "web" / "README.md"


def text(present: str, services: Iterable[Service] = SERVICES) -> str:
    """Return the README of web with a row for each service whose paths are passed on."""
    lines = ["| `/api/…` | paths below it |", "| --- | --- |"]
    for service in services:
        if service.proxied:
            paths = ", ".join(f"`{name}`" for name in service.proxied)
            lines.append(f"| `{service.name}` | {paths} |")
    return replaced(present, "proxied", "\n".join(lines))
