"""What a full training requires, what of it is missing here, and how to get it."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from laundry_learning.artifacts import artifact_of
from laundry_reading.manifest import Manifest
from mlops.settings import Settings

MODULES = ("torch", "onnxscript", "laundry_reading", "laundry_learning", "laundry_training")
PROBE_S = 20.0
_PROBE = (
    "import importlib.util, sys; "
    "print(*[name for name in sys.argv[1:] if importlib.util.find_spec(name) is None])"
)


class Requirements(Protocol):
    """Lists what a full run would lack where it would run."""

    async def lacking(self, root: Manifest) -> list[str]:
        """Return what is missing, one sentence each; ``root`` is the trained model to start from."""


class LocalRequirements:
    """For runs on this machine."""

    def __init__(self, settings: Settings) -> None:
        """Take where interpreter and photos are."""
        self._settings = settings

    async def lacking(self, root: Manifest) -> list[str]:
        """Look at the model, the interpreter and the folder of photos."""
        return [
            *lacking_weights(root),
            # The container beside this one brings its own interpreter.
            *([] if self._settings.sandbox_socket else await lacking_modules(interpreter(self._settings))),
            *lacking_photos(self._settings.training_data),
        ]


class ClusterRequirements:
    """For runs as Jobs of a cluster, whose image and photos are the chart's matter."""

    def __init__(self, templates: Path) -> None:
        """Take the folder of the Jobs' templates."""
        self._templates = templates

    async def lacking(self, root: Manifest) -> list[str]:
        """Look at the model and whether there is a template; the Job looks at the rest."""
        found = lacking_weights(root)
        if not (self._templates / "full.json").is_file():
            found.append(
                "This release has no Job for it: set training.full.enabled and training.full.photosClaim, "
                "the volume that holds clothing/photos.csv."
            )
        return found


def interpreter(settings: Settings) -> Path:
    """Return the interpreter that trains."""
    return settings.training_python or Path(sys.executable)


def lacking_weights(root: Manifest) -> list[str]:
    """Look whether a model's manifest names weights to start from."""
    if artifact_of(root, "weights") is not None:
        return []
    return [
        f"The model {root.version} has no weights to start from: its manifest names no `weights` file. `make "
        "model` writes one beside each new model, and `python -m laundry_learning.weights` does so from the "
        "float file that a training left."
    ]


async def lacking_modules(python: Path) -> list[str]:
    """Ask an interpreter whether it has what the trainer imports."""
    try:
        process = await asyncio.create_subprocess_exec(
            python,
            "-c",
            _PROBE,
            *MODULES,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        return [f"The interpreter {python} (LAUNDRY_TRAINING_PYTHON) cannot be run: {error.strerror}."]
    try:
        async with asyncio.timeout(PROBE_S):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return [f"The interpreter {python} (LAUNDRY_TRAINING_PYTHON) does not answer."]
    if process.returncode != 0:
        return [f"The interpreter {python} (LAUNDRY_TRAINING_PYTHON) is not usable."]
    missing = said.decode(errors="replace").split()
    if not missing:
        return []
    return [
        f"The interpreter {python} has no {' and no '.join(missing)}: `make train-setup` makes one that has, "
        "and LAUNDRY_TRAINING_PYTHON names it (.venv-train/bin/python)."
    ]


def lacking_photos(data: Path | None) -> list[str]:
    """Look for the training photos."""
    if data is None:
        return [
            "The training photos are not here: LAUNDRY_TRAINING_DATA names the folder that holds "
            "clothing/photos.csv (locally: `laundry up --training-data FOLDER`)."
        ]
    table = data / "clothing" / "photos.csv"
    return [] if table.is_file() else [f"The training photos are not here: {table} does not exist."]


def explain(lacking: Sequence[str]) -> str:
    """Join what is missing into one message."""
    return " ".join(["A full training cannot run here.", *lacking, "A refit needs none of this."])
