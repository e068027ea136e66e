"""What Docker's builder lacks for the images of a release: several platforms, and notes of what they hold."""

import re

from laundry.deploy import images
from laundry.deploy.tools import Tool

CREATE = "docker buildx create --use"
EMULATE = "docker run --privileged --rm tonistiigi/binfmt --install"
# Where the engine keeps images in containerd's store, its own builder can do both.
ENGINE = Tool(("docker", "info", "--format", "{{json .DriverStatus}}"))
CONTAINERD = "io.containerd.snapshotter"


def lacking(builder: Tool) -> str | None:
    """Return what the builder in use lacks and what to do, None where nothing is known to be missing."""
    inspected = builder.run(["inspect"]).stdout
    found = dict(re.findall(r"^(Driver|Platforms): +(\S.*)$", inspected, re.MULTILINE))
    if found.get("Driver") == "docker" and CONTAINERD not in ENGINE.run([]).stdout:
        return (
            "Docker's default builder is in use, which builds neither for several platforms nor with SBOM "
            f"and provenance. One that does: {CREATE}"
        )
    platforms = {each.strip(" *") for each in found.get("Platforms", "").split(",")}
    missing = [each for each in images.PLATFORMS if each not in platforms]
    # One that was not started yet names none.
    if "Platforms" not in found or not missing:
        return None
    machines = ",".join(each.partition("/")[2] for each in missing)
    return (
        f"The builder in use has no {', '.join(missing)}. To emulate it: {EMULATE} {machines}; then, for a "
        f"builder that has seen it: {CREATE}"
    )
