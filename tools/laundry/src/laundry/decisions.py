"""The list of decisions, ``docs/decisions/README.md``, from their first lines."""

import re
from collections.abc import Iterable
from pathlib import Path

from laundry.paths import PROJECT
from laundry_servers.errors import LaundryError

FOLDER = PROJECT / "docs" / "decisions"
FILE = FOLDER / "README.md"
TITLE = re.compile(r"# (\d+)\. (.+)\n")
REPLACED = re.compile(r"^\*\*Replaced\*\* (by \[\d+\]\([\w.-]+\))", re.MULTILINE)
HEAD = """# Decisions

Why it is built this way, in the order in which it was decided. A decision that no longer holds says so in
a line that begins with **Replaced**. The list is written by `make contracts` from the files' first lines.

| | |
| --- | --- |
"""


def text(files: Iterable[Path] | None = None) -> str:
    """Return the list.

    Raises:
        LaundryError: a file does not begin with its number and its title.
    """
    rows = []
    for file in sorted(FOLDER.glob("0*.md") if files is None else files):
        written = file.read_text()
        title = TITLE.match(written)
        if title is None or int(title[1]) != int(file.name.partition("-")[0]):
            raise LaundryError(f"{file.name} does not begin with # and its number, a point and a title.")
        replaced = REPLACED.search(written)
        status = f" (replaced {replaced[1]})" if replaced else ""
        rows.append(f"| [{title[1]}]({file.name}) | {title[2]}{status} |\n")
    return HEAD + "".join(rows)
