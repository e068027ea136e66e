"""Settings changed on the running stack: taken at a process's next start, forgotten when the stack stops."""

from laundry.paths import StackPaths
from laundry_servers.files import read_json, write_json


def of_process(paths: StackPaths, name: str) -> dict[str, str]:
    """Return the changed environment variables of one process; none if nobody changed any."""
    everything: dict[str, dict[str, str]] = read_json(paths.changes_file) or {}
    return everything.get(name, {})


def change(paths: StackPaths, name: str, settings: dict[str, str]) -> None:
    """Note changed variables of one process, beside those that were changed before."""
    everything: dict[str, dict[str, str]] = read_json(paths.changes_file) or {}
    everything[name] = {**everything.get(name, {}), **settings}
    write_json(paths.changes_file, everything)
