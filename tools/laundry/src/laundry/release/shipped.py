"""Which distributions of others the images hold: what services and the laundry command need, no more."""

import re
from collections.abc import Iterable, Iterator
from importlib import metadata

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from laundry.deploy.images import IN_NO_IMAGE
from laundry_catalogue import SERVICES

OWN = "laundry-"


def distributions() -> dict[str, str]:
    """Return the version of each distribution of others, by its name.

    They are looked up in this environment, which has every version of requirements.lock.
    """
    roots = {f"{OWN}cli", *(service.name for service in SERVICES)}
    found: dict[str, str] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(canonicalize_name(name), frozenset()) for name in roots]
    left_out = frozenset(IN_NO_IMAGE.split())
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen or name in left_out:
            continue
        seen.add((name, extras))
        distribution = metadata.distribution(name)
        found[name] = distribution.version
        waiting += _needed(distribution, extras)
    return {name: found[name] for name in sorted(found.keys() - roots) if not name.startswith(OWN)}


def lines_of_lock(lock: str, names: Iterable[str]) -> str:
    """Return the part of requirements.lock that names these distributions, with their hashes."""
    wanted = {canonicalize_name(name) for name in names}
    entries = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)
    kept = [entry for entry in entries if canonicalize_name(re.split(r"[=\[ ;]", entry)[0]) in wanted]
    return "".join(kept)


def _needed(
    distribution: metadata.Distribution, extras: frozenset[str]
) -> Iterator[tuple[str, frozenset[str]]]:
    environment = {key: str(value) for key, value in default_environment().items()}
    for line in distribution.requires or ():
        requirement = Requirement(line)
        markers = [{**environment, "extra": extra} for extra in (extras or {""})]
        if requirement.marker is None or any(requirement.marker.evaluate(each) for each in markers):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)
