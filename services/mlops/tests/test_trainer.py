"""What photos and the trainer may reach, tried from inside."""

import json
import os
import socket
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from laundry_learning.sandbox import landlock
from laundry_learning.sandbox.launcher import LocalSandbox, Sandbox
from laundry_testing.sandboxes import ALLOWED, SECRETS, beside
from mlops.full.trainer import train
from mlops.runs import RunError, RunInterrupted

confined = pytest.mark.skipif(landlock.version() < 4, reason="this kernel has no Landlock that shuts TCP")

REACH = """
    import json, os, pathlib, signal, socket, sys
    folder, secret, port, parent = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    def tried(what):
        try:
            what()
        except OSError as error:
            return type(error).__name__
        return "reached"
    def write(path):
        pathlib.Path(path).write_text("x")
    found = {
        "environment": sorted(os.environ),
        "secret file": tried(lambda: pathlib.Path(secret).read_bytes()),
        "another's environment": tried(lambda: pathlib.Path(f"/proc/{parent}/environ").read_bytes()),
        "another's memory": tried(lambda: open(f"/proc/{parent}/mem", "rb").read(1)),
        "network": tried(lambda: socket.create_connection(("127.0.0.1", port), timeout=2).close()),
        "signals": tried(lambda: os.kill(parent, 0)),
        "writing elsewhere": tried(lambda: write(secret + ".new")),
        "writing code": tried(lambda: write(os.path.join(sys.prefix, "laundry-was-here"))),
        "writing here": tried(lambda: write(os.path.join(folder, "mine"))),
        "core": __import__("resource").getrlimit(__import__("resource").RLIMIT_CORE)[0],
        "session": os.getsid(0) == os.getpid(),
    }
    print(json.dumps({"note": json.dumps(found)}), flush=True)
"""


@pytest.fixture
def as_trainer(tmp_path: Path) -> Callable[..., Path]:
    """Make an interpreter that runs a program in place of the trainer, with what else it is told."""

    def make(program: str, *arguments: object) -> Path:
        (tmp_path / "bin").mkdir(exist_ok=True)
        code, python = tmp_path / "bin" / "program.py", tmp_path / "bin" / "python"
        code.write_text(textwrap.dedent(program))
        words = " ".join(f'"{each}"' for each in arguments)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{code}" "$3" {words}\n')
        python.chmod(0o755)
        return python

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "runs" / "run-1"
    made.mkdir(parents=True)
    return made


async def run(sandbox: Sandbox, python: Path, folder: Path, data: Path) -> list[str]:
    said: list[str] = []

    async def note(text: str) -> None:
        said.append(text)

    async def nothing(_: float) -> None:
        pass

    await train(sandbox, python, folder, data, threads=1, progress=nothing, note=note)
    return said


@confined
async def test_the_trainer_reaches_its_folder_and_nothing_else(
    as_trainer: Callable[..., Path], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "stack.json").write_text("passwords")
    # As where a service is started in a folder that holds them.
    monkeypatch.syspath_prepend(elsewhere)
    with socket.create_server(("127.0.0.1", 0)) as server:
        python = as_trainer(REACH, elsewhere / "stack.json", server.getsockname()[1], os.getpid())
        (data := tmp_path / "data").mkdir()
        [said] = await run(LocalSandbox(), _alone(python, tmp_path), folder, data)
    found: dict[str, Any] = json.loads(said)
    assert set(found.pop("environment")) <= ALLOWED
    assert (found.pop("core"), found.pop("session"), found.pop("writing here")) == (0, True, "reached")
    assert "reached" not in found.values(), found


def _alone(python: Path, tmp_path: Path) -> Path:
    """Put the interpreter into a tree of its own, as a virtual environment is."""
    home = tmp_path / "venv" / "bin"
    home.mkdir(parents=True)
    moved = home / "python"
    text = python.read_text().replace(str(python.parent), str(home))
    (home / "program.py").write_text((python.parent / "program.py").read_text())
    moved.write_text(text)
    moved.chmod(0o755)
    return moved


async def test_a_trainer_that_is_killed_or_fails_is_told_apart(
    as_trainer: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    python = as_trainer("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(RunInterrupted, match="signal 9"):
        await run(LocalSandbox(), python, folder, tmp_path)
    python = as_trainer("raise OSError('disk is full')")
    with pytest.raises(RunError, match="disk is full"):
        await run(LocalSandbox(), python, folder, tmp_path)
    python = as_trainer("print('x' * 3_000_000)")
    with pytest.raises(RunError, match="too long"):
        await run(LocalSandbox(), python, folder, tmp_path)


async def test_the_trainer_of_the_other_container_says_how_it_ended(folder: Path, tmp_path: Path) -> None:
    # There is no order in the folder, and no torch here.
    async with beside(tmp_path) as sandbox:
        with pytest.raises(RunError, match=r"exit code 1.*(torch|order\.json)"):
            await run(sandbox, Path(sys.executable), folder, tmp_path)
