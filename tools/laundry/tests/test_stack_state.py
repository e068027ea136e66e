"""What is written down of a running stack."""

import os
from pathlib import Path

import pytest

from laundry.paths import StackPaths
from laundry.stack import state
from laundry_servers import files
from laundry_servers.errors import LaundryError


def test_a_reused_process_id_is_not_taken_for_the_supervisor(tmp_path: Path) -> None:
    paths = StackPaths(tmp_path)
    state.write_processes(paths, [], ready=True, servers="native", restarts={})
    found = state.supervisor(paths)
    assert found is not None and found.pid == os.getpid()
    notes = files.read_json(paths.processes_file)
    assert notes is not None
    notes["supervisor"]["created_at"] -= 5
    files.write_json(paths.processes_file, notes)
    assert state.supervisor(paths) is None
    with pytest.raises(LaundryError, match="laundry up"):
        state.running_stack(paths)
