"""What a rotation writes where; that nothing is lost by it is shown on a running stack."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from laundry.cli import app
from laundry.paths import StackPaths
from laundry.stack import state
from laundry.stack.rotation import Rotation, with_password
from laundry_servers.errors import LaundryError


@pytest.mark.parametrize(
    ("url", "changed"),
    [
        ("amqp://helper:old@127.0.0.1:5672/laundry", "amqp://helper:n%2Fw@127.0.0.1:5672/laundry"),
        ("amqps://helper:o%40d@h/laundry?cafile=/a", "amqps://helper:n%2Fw@h/laundry?cafile=/a"),
        ("postgresql+asyncpg://helper:old@h:5432/helper", "postgresql+asyncpg://helper:n%2Fw@h:5432/helper"),
    ],
)
def test_only_the_password_of_an_address_changes(url: str, changed: str) -> None:
    assert with_password(url, "n/w") == changed


def test_a_new_key_stands_before_the_newest_of_the_old_ones_until_the_rotation_is_finished() -> None:
    first = Rotation._next("one", lambda: "two", finish=False)
    second = Rotation._next(first, lambda: "three", finish=False)
    assert (first, second) == ("two,one", "three,two")
    assert Rotation._next(second, lambda: "four", finish=True) == "three"


@pytest.mark.parametrize("arguments", [("broker", "--finish"), ("identity", "helper"), ("s3", "helper")])
def test_what_makes_no_sense_is_refused_with_a_sentence(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, ["secrets", "rotate", *arguments])
    assert done.exit_code == 1
    assert "--finish is for keys" in done.output or "name no service" in done.output


def test_a_password_of_what_does_not_run_is_not_said_to_be_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"pids": {}, "management_urls": ["http://kim:secret@127.0.0.1:1"]}
    monkeypatch.setattr(state, "running_stack", lambda _: document)
    with pytest.raises(LaundryError, match="operations does not run in this stack"):
        Rotation(StackPaths(tmp_path), lambda _: None).broker(["operations"])
