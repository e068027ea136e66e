"""Runs a supervisor in the foreground with two stand-in services: ``python supervise.py VAR [NODES]``."""

import sys
from pathlib import Path

from laundry.display import ConsoleProgress
from laundry.paths import StackPaths
from laundry.stack.launch import Options
from laundry.stack.processes import Service
from laundry.stack.supervisor import AlreadyRunningError, Supervisor
from laundry_servers.choice import Kind

SERVICES = (
    Service("helper", "stand_in", database=True, objects=True, url_key="helper_url"),
    Service("mlops", "stand_in", ("--with-child",), user="helper", database=True, url_key="mlops_url"),
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
