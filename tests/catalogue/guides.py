"""The changes that a guide shows, carried out."""

import re
from pathlib import Path

BLOCK = re.compile(r"^```diff\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def apply(guide: Path, root: Path) -> set[str]:
    """Make every change that a guide shows as a diff; returns the files that were changed.

    A block begins with ``--- path``, or with ``+++ path`` for a file that is new. Each part of it, after a
    line ``@@``, holds lines as in a unified diff; what is there already must be found exactly once.
    """
    changed: set[str] = set()
    for block in BLOCK.findall(guide.read_text()):
        heading, *lines = block.splitlines()
        how, _, name = heading.partition(" ")
        path = root / name
        if how == "+++":
            assert not path.exists(), f"{name} is there already"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{line[1:]}\n" for line in lines))
        else:
            path.write_text(_with_parts(path.read_text(), lines, name))
        changed.add(name)
    assert changed, f"{guide.name} shows no change"
    return changed


def _with_parts(text: str, lines: list[str], name: str) -> str:
    for part in "\n".join(lines).split("@@\n")[1:]:
        shown = part.splitlines()
        before = "".join(f"{line[1:]}\n" for line in shown if not line.startswith("+"))
        after = "".join(f"{line[1:]}\n" for line in shown if not line.startswith("-"))
        assert text.count(before) == 1, f"{name} has this {text.count(before)} times, not once:\n{before}"
        text = text.replace(before, after)
    return text
