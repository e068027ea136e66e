"""CHANGELOG.md at a release: what is under Unreleased becomes the version's section."""

import re
from datetime import date

from laundry.release.versions import Version
from laundry_servers.errors import LaundryError

HEADING = "## [Unreleased]"
SECTION = re.compile(r"^## ", re.MULTILINE)
ENTRY = re.compile(r"^- \S", re.MULTILINE)


def unreleased(text: str) -> str:
    """Return what is under Unreleased, its headings included.

    Raises:
        LaundryError: there is no such section, or it holds no entry.
    """
    before, heading, after = text.partition(f"{HEADING}\n")
    if not heading or HEADING in after or (before and not before.endswith("\n")):
        raise LaundryError(f"CHANGELOG.md has no one section {HEADING!r}.")
    end = SECTION.search(after)
    section = after[: end.start() if end else len(after)].strip()
    if not ENTRY.search(section):
        raise LaundryError("CHANGELOG.md says nothing under Unreleased: what would the release bring?")
    return section


def names(text: str, version: Version) -> bool:
    """Whether there is a section of this version already."""
    return re.search(rf"^## \[?{re.escape(str(version))}[\] ]", text, re.MULTILINE) is not None


def cut(text: str, version: Version, day: date) -> str:
    """Return the changelog with the section of a version, and an empty one above it for what comes next.

    Raises:
        LaundryError: as ``unreleased``, or there is a section of this version.
    """
    unreleased(text)
    if names(text, version):
        raise LaundryError(f"CHANGELOG.md has a section of {version} already.")
    return text.replace(f"{HEADING}\n", f"{HEADING}\n\n## [{version}] - {day.isoformat()}\n", 1)
