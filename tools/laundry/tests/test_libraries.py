"""What the fork server imports for the stack's processes can be shared by them."""

import subprocess
import sys

from laundry.stack.libraries import SHARED

# Imports what is shared, forks twice, and lets each of the two make an id and draw a number.
FORKED = """
import importlib, os, sys
open_before = os.listdir("/proc/self/fd")
for module in sys.argv[1:]:
    importlib.import_module(module)
assert os.listdir("/proc/self/fd") == open_before, "a library keeps a file open, which all would have"
assert os.listdir("/proc/self/task") == [str(os.getpid())], "a library has begun a thread, which a fork loses"
imported = set(sys.modules)
from laundry_catalogue import SERVICES
packages = {service.package for service in SERVICES}
ours = {name for name in imported if name.startswith("laundry") or name.split(".")[0] in packages}
allowed = {"laundry_service", "laundry_service.left_out"}
assert ours == allowed, f"{ours - allowed} would be stale in a service that starts again"
for _ in range(2):
    if os.fork() == 0:
        import random, secrets
        from laundry_events.ids import new_id
        print(str(new_id())[14:], random.random(), secrets.token_hex(8), flush=True)
        os._exit(0)
    os.wait()
"""


def test_what_is_shared_makes_no_two_processes_alike() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FORKED, *SHARED], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    first, second = (line.split() for line in ran.stdout.splitlines())
    assert len(first) == 3
    assert all(one != other for one, other in zip(first, second, strict=True))
