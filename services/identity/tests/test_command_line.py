"""``laundry people``, ``branches`` and ``equipment``, against the real service."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from laundry import cli
from laundry.stack import state

from .conftest import World

Run = Callable[..., Awaitable[Any]]


@pytest.fixture
def run(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command as on the machine of the stack, whose key the service trusts."""
    monkeypatch.setenv("LAUNDRY_VAR_DIR", str(tmp_path))
    (tmp_path / "identity").symlink_to(world.identity.local.key_file.parent)
    stack = {"identity_url": str(world.http.base_url).rstrip("/")}
    monkeypatch.setattr(state, "running_stack", lambda _: stack)

    async def run(*arguments: str) -> Any:
        return await asyncio.to_thread(lambda: CliRunner().invoke(cli.app, list(arguments)))

    return run


async def test_a_branch_its_people_and_its_machines_from_the_command_line(world: World, run: Run) -> None:
    added = await run("branches", "add", "gangnam-1", "--name", "강남 1호점", "--name-en", "Gangnam 1")
    assert (added.exit_code, added.output) == (0, "gangnam-1: 강남 1호점 / Gangnam 1\n")
    made = await run("people", "invite", "--branch", "gangnam-1", "--note", "Park", "--json")
    invitation = json.loads(made.stdout)
    assert (invitation["note"], invitation["role"]) == ("Park", "helper")
    assert (await world.accept(invitation, "park@example.com")).status_code == 302
    listed = await run("people", "list", "--branch", "gangnam-1", "--json")
    assert [json.loads(line)["email"] for line in listed.stdout.splitlines()] == ["park@example.com"]
    removed = await run("people", "remove", "Park@example.com", "--reason", "left")
    assert removed.exit_code == 0, removed.output
    assert [each["reason"] for each in await world.audited("person.remove")] == ["left"]
    again = await run("people", "remove", "park@example.com")
    assert (again.exit_code, "Nobody who works here" in again.output) == (1, True)


async def test_a_machines_secret_is_printed_and_ends(world: World, run: Run) -> None:
    await world.branch("b1")
    machine = ("washer-3", "--branch", "b1")
    added = await run("equipment", "add", *machine)
    assert added.exit_code == 0, added.output
    first = dict(line.split("=", 1) for line in added.stdout.splitlines())
    rotated = json.loads((await run("equipment", "rotate", *machine, "--json")).stdout)
    assert rotated["client_id"] == first["client_id"]
    assert rotated["client_secret"] != first["client_secret"]
    assert "washer-3" in (await run("equipment", "list")).stdout
    assert (await run("equipment", "revoke", *machine, "--reason", "sold")).exit_code == 0
    again = await run("equipment", "revoke", *machine)
    assert (again.exit_code, "has no credential" in again.output) == (1, True)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("people", "invite", "--role", "king"), "--role is one of"),
        (("people", "invite", "--branch", "nowhere"), "There is no branch"),
        (("branches", "add", "Not An Id", "--name", "이름"), "422"),
        (("equipment", "add", "washer-3", "--branch", "nowhere"), "There is no branch"),
    ],
)
async def test_what_is_refused_is_told_in_a_sentence(run: Run, command: tuple[str, ...], said: str) -> None:
    refused = await run(*command)
    assert refused.exit_code == 1
    assert said in " ".join(refused.output.split())
