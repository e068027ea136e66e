"""What a manifest tells of a model's descent: the examples that made it, and the models before it."""

import math
from dataclasses import asdict, dataclass

from pydantic import JsonValue

from laundry_reading.manifest import Manifest


@dataclass(frozen=True)
class ExampleCounts:
    """The examples of a run: how many were left out for each reason, and the hash of those that taught."""

    examples_learnt: int
    examples_judging: int
    examples_left_out: dict[str, int]
    examples_sha256: str


@dataclass(frozen=True)
class RefitLineage:
    """Of a refitted model: ``base`` was the champion, ``first`` the trained model that both descend from."""

    run_id: str
    base_version: str
    base_sha256: str
    first_version: str
    first_sha256: str
    examples: ExampleCounts
    pull_towards_first: float
    branches_known: int

    def as_json(self) -> dict[str, JsonValue]:
        """Return it as a manifest holds it: flat."""
        told = {"kind": "refit", **asdict(self)}
        examples = told.pop("examples")
        return {**told, **examples}


def first_version_of(manifest: Manifest) -> str | None:
    """Return the trained model that a refitted one descends from, None if it was trained itself."""
    first = manifest.lineage.get("first_version")
    return None if first is None else str(first)


def view_size_of(manifest: Manifest) -> int:
    """Return the edge of the middle that the network sees, pixels; all that is read unless told."""
    told = _number(manifest.lineage.get("view_size"))
    return int(told) if told is not None and 0 < told <= manifest.input_size else manifest.input_size


def training_known_of(manifest: Manifest) -> int | None:
    """Return how many training photos were of the classes, None where it is not told."""
    known = _number(manifest.lineage.get("training_known"))
    return None if known is None else int(known)


def other_reviewed_of(manifest: Manifest) -> float | None:
    """Return the share 0..1 of photos of other things that go to a person, None where it was not measured."""
    share = _number(manifest.metrics.get("other_reviewed"))
    return None if share is None else float(share)


def _number(told: object) -> int | float | None:
    """Return what a manifest tells if it is a number: a model that is long registered may tell anything."""
    if not isinstance(told, int | float) or isinstance(told, bool) or not math.isfinite(told):
        return None
    return told
