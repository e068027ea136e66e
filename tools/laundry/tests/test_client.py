"""Calls to services of the local stack."""

from pathlib import Path

import pytest

from laundry.client import Caller
from laundry.paths import StackPaths
from laundry.stack import state
from laundry_servers.errors import LaundryError
from laundry_servers.files import write_json


def test_a_service_that_the_stack_was_started_without_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = StackPaths(tmp_path)
    monkeypatch.setattr(state, "supervisor", lambda _: object())
    write_json(paths.stack_file, {"helper_url": "http://127.0.0.1:1"})
    with (
        Caller(paths, role="operator", branches=[], subject="kim") as caller,
        pytest.raises(LaundryError, match="mlops does not run in this stack; what does: laundry status"),
    ):
        caller.call("GET", "mlops", "/models")


def test_a_stack_that_is_starting_is_said_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "supervisor", lambda _: object())
    with pytest.raises(LaundryError, match="starting or stopping"):
        state.running_stack(StackPaths(tmp_path))
