"""Which distributions of others the images hold: what services and the laundry command need, no more.

Whatever depends on the machine is asked of the images' Python and platforms, not of those that release.
"""

import re
from collections.abc import Iterable, Iterator
from importlib import metadata

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from laundry.deploy.images import IN_NO_IMAGE, MACHINES, PYTHON
from laundry.paths import PROJECT
from laundry_catalogue import SERVICES
from laundry_servers.errors import LaundryError

OWN = "laundry-"
# Every name that a marker may use, so that none is asked of this machine.
_ANYWHERE = {
    "implementation_name": "cpython",
    "implementation_version": f"{PYTHON}.0",
    "os_name": "posix",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": f"{PYTHON}.0",
    "python_version": PYTHON,
    "sys_platform": "linux",
}
ENVIRONMENTS = tuple({**_ANYWHERE, "platform_machine": machine} for machine in MACHINES.values())


def distributions() -> dict[str, str]:
    """Return the version of each distribution of others, by its name.

    What needs what is looked up in this environment, which has all of requirements.lock; versions are the
    lock's, which may give another one to another Python.

    Raises:
        LaundryError: the images' Python needs one that is not installed here.
    """
    roots = {f"{OWN}cli", *(service.name for service in SERVICES)}
    locked = versions_of_lock((PROJECT / "requirements.lock").read_text())
    found: dict[str, str] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(canonicalize_name(name), frozenset()) for name in roots]
    left_out = frozenset(IN_NO_IMAGE.split())
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen or name in left_out:
            continue
        seen.add((name, extras))
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise LaundryError(
                f"The images hold {name}, which is not installed here: release with Python {PYTHON}."
            ) from None
        found[name] = locked.get(name, distribution.version)
        waiting += _needed(distribution, extras)
    return {name: found[name] for name in sorted(found.keys() - roots) if not name.startswith(OWN)}


def lines_of_lock(lock: str, names: Iterable[str]) -> str:
    """Return the part of requirements.lock that images have of these distributions, with their hashes."""
    wanted = {canonicalize_name(name) for name in names}
    return "".join(entry for named, entry in _entries(lock) if canonicalize_name(named.name) in wanted)


def versions_of_lock(lock: str) -> dict[str, str]:
    """Return which version of each distribution images have, by its name."""
    return {canonicalize_name(named.name): str(named.specifier)[2:] for named, _ in _entries(lock)}


def _entries(lock: str) -> Iterator[tuple[Requirement, str]]:
    """Yield the entries of a lock that count in an image; a lock may name a version for each Python."""
    for entry in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE):
        head = entry.partition("\n")[0].rstrip(" \\")
        if head and _counts((named := Requirement(head)).marker):
            yield named, entry


def _counts(marker: Marker | None, extras: Iterable[str] = ("",)) -> bool:
    """Whether a marker is true in an image of any platform, with any of these extras."""
    return marker is None or any(
        marker.evaluate({**environment, "extra": extra}) for environment in ENVIRONMENTS for extra in extras
    )


def _needed(
    distribution: metadata.Distribution, extras: frozenset[str]
) -> Iterator[tuple[str, frozenset[str]]]:
    for line in distribution.requires or ():
        requirement = Requirement(line)
        if _counts(requirement.marker, extras or {""}):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)
