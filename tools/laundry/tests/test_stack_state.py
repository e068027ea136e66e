"""What is written down of a running stack, and the table of its processes."""

import os
from pathlib import Path

import pytest

from laundry.paths import StackPaths
from laundry.stack import environment, state
from laundry.stack.processes import SERVICES, broker_users, database_owners
from laundry_events import topology
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


def test_the_table_of_processes_fits_the_topology() -> None:
    assert topology.VHOST == environment.VHOST
    assert topology.TELEMETRY_EXCHANGE == environment.TELEMETRY_EXCHANGE
    assert set(broker_users()) == {service.name for service in topology.PLAN.services}
    assert database_owners()["notification"] == "notification"
    names = [name for service in SERVICES for name in service.process_names]
    assert len(names) == len(set(names))
    assert {"ai-consumer-1", "ai-consumer-2", "ai-consumer-3", "notification-faults"} <= set(names)
