"""Runs a supervisor in the foreground with two stand-in services: ``python supervise.py VAR [NODES]``."""

import sys
from pathlib import Path

from laundry.display import ConsoleProgress
from laundry.paths import StackPaths
from laundry.stack.launch import Options
from laundry.stack.supervisor import AlreadyRunningError, Supervisor
from laundry_catalogue import Need, Process, Service
from laundry_servers.choice import Kind

SERVICES = (
    Service(
        name="helper",
        package="stand_in",
        needs=frozenset({Need.DATABASE, Need.OBJECTS}),
        port=8001,
        processes=(Process(name="helper"), Process(name="mlops", arguments=("--with-child",))),
    ),
)

if __name__ == "__main__":
    nodes = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    options = Options(nodes=nodes, servers=Kind.NATIVE, services=SERVICES)
    try:
        Supervisor(StackPaths(Path(sys.argv[1]).resolve()), options, ConsoleProgress()).run(
            lambda _: print("ready", flush=True)
        )
    except AlreadyRunningError as error:
        sys.exit(str(error))
