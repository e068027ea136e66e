"""The table in deploy/README.md: how much memory Compose's containers may take, by profile."""

import re
from typing import Any

import yaml

from laundry.deploy import compose
from laundry.marks import replaced
from laundry.paths import PROJECT

FILE = PROJECT / "deploy" / "README.md"
MIB = {"M": 1, "G": 1024}
ALWAYS = ""


def text(present: str) -> str:
    """Return deploy/README.md with the table of docker-compose.yml as it should be."""
    containers: dict[str, dict[str, Any]] = yaml.safe_load(compose.text(compose.FILE.read_text()))["services"]
    by_profile: dict[str, list[tuple[str, int, int]]] = {}
    for name, container in containers.items():
        # Those that prepare something are gone before the services start.
        if container["restart"] == "no":
            continue
        replicas = container["deploy"].get("replicas", 1)
        for profile in container.get("profiles", [ALWAYS]):
            by_profile.setdefault(profile, []).append((name, mebibytes(container), replicas))
    lines = ["| profile | containers, MiB at most | all |", "| --- | --- | --- |"]
    for profile, found in by_profile.items():
        each = ", ".join(f"{name} {mib}{f' ×{times}' if times > 1 else ''}" for name, mib, times in found)
        total = sum(mib * times for _, mib, times in found)
        what = f"`{profile}`, more" if profile else "none"
        lines.append(f"| {what} | {each} | **{total / 1024:.1f} GiB** |")
    return replaced(present, "memory", "\n".join(lines))


def mebibytes(container: dict[str, Any]) -> int:
    """Return a container's limit of memory."""
    said = re.fullmatch(r"(\d+)([MG])", container["deploy"]["resources"]["limits"]["memory"])
    assert said is not None
    return int(said[1]) * MIB[said[2]]
