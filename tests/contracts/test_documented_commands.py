"""Every ``laundry`` command that a person is told to run is there, with its options and those it needs."""

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from laundry.cli import app
from laundry.paths import PROJECT

DOCUMENTS = [
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    *sorted(PROJECT.glob("deploy/**/*.md")),
    *sorted(PROJECT.glob("docs/**/*.md")),
    *(path for part in ("libs", "services", "tools") for path in sorted(PROJECT.glob(f"{part}/*/README.md"))),
]
LINE = re.compile(r"^(?:\.venv/bin/)?laundry ([a-z].*?)(?: #.*)?$", re.MULTILINE)
WORDS = re.compile(r"`laundry ([a-z][^`]*)`")
TARGET = re.compile(r"^make ((?:[a-z-]+ ?)+)|`make ((?:[a-z-]+ ?)+)[^`]*`", re.MULTILINE)


def commands(text: str) -> Iterator[str]:
    """The commands in blocks of code, and in the text."""
    yield from LINE.findall(text)
    yield from WORDS.findall(text.replace("\n", " "))


def needed(command: Any) -> set[str]:
    """The options that a command does not run without."""
    return {each.opts[0] for each in command.params if each.required and each.param_type_name == "option"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_its_commands_exist(document: Path) -> None:
    text = document.read_text()
    for line in commands(text):
        # What follows -- is another program's.
        words = list(takewhile(lambda word: word != "--", shlex.split(line)))
        command: Any = typer.main.get_command(app)
        while hasattr(command, "get_command") and words and not words[0].startswith("-"):
            found = command.get_command(click.Context(command), words.pop(0))
            assert found is not None, f"laundry {line}"
            command = found
        known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
        asked = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert asked <= known, f"laundry {line}"
        # A command that is only named, without arguments, is none to run.
        if words:
            assert not needed(command) - asked, f"laundry {line} lacks {needed(command) - asked}"
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    told = {name for found in TARGET.findall(text) for name in " ".join(found).split()}
    assert told <= targets
