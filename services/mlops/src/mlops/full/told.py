"""What a trainer's manifest may tell of its model: figures and facts by known names, each of its kind.

They are signed with the manifest and every later run reads them, so nothing else of them is taken.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from laundry_reading.manifest import Manifest

MAX_BYTES = 32 * 1024
"""Largest manifest that a trainer may give back; the shipped model's has 9 KB, and signing doubles it."""

SMALLEST_VIEW = 16

Number = Annotated[float, Field(allow_inf_nan=False)]
Figure = Number | None
"""One that could not be measured, for want of photos, is null."""

Share = Annotated[float, Field(ge=0, le=1)] | None
Count = Annotated[int, Field(ge=0, lt=10**9)]
Text = Annotated[str, Field(max_length=300, pattern=r"^[^\x00-\x1f]*$")]


class Told(BaseModel):
    """Names that are not known are left out; those that are have the right kind, or it is not taken."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class ToldClass(Told):
    """One class, as ``laundry_training`` measures it."""

    label: Text
    photos: Count
    recall: Share
    precision: Share


class ToldPiles(Told):
    """Composed pictures of one kind."""

    name: Text
    several: bool
    pictures: Count
    multiple: Share
    reviewed: Share
    claimed: Share
    listed: Share
    counted: Share
    right: Share
    found: Share


class ToldDrawings(Told):
    """Drawings of one kind that show no garment."""

    name: Text
    pictures: Count
    reviewed: Share


class ToldMetrics(Told):
    """How good the trainer found its model."""

    photos: Count = 0
    households: Count = 0
    top1: Share = None
    top1_low: Share = None
    top1_high: Share = None
    top2: Share = None
    household_mean: Share = None
    log_loss: Figure = None
    calibration_error: Share = None
    accepted: Share = None
    accepted_accuracy: Share = None
    other_reviewed: Share = None
    other_photos: Count = 0
    classes: list[ToldClass] = []
    confusion: list[list[Count]] = []
    temperature: Figure = None
    several_threshold: Share = None
    false_alarms: Share = None
    piles: list[ToldPiles] = []
    no_garment: list[ToldDrawings] = []
    milliseconds_per_photo: Figure = None


class ToldLineage(Told):
    """How it was trained; what it descends from is not the trainer's to say."""

    kind: Literal["full"] = "full"
    run_id: Text = ""
    base_version: Text = ""
    base_sha256: Text = ""
    started_from: Text = ""
    holdout_sha256: Text = ""
    epochs: Count = 0
    rate: Number = 0.0
    most_photos: Count = 0
    examples_learnt: Count = 0
    examples_judging: Count = 0
    examples_left_out: dict[Text, Count] = {}
    examples_sha256: Text = ""
    training_photos: Count = 0
    training_known: Count = 0
    corrections: Count = 0
    teacher: Text = ""
    teacher_sha256: Text = ""
    minutes: Number = 0.0
    threads: Count = 0
    network: Text = ""
    view_size: Annotated[int, Field(ge=SMALLEST_VIEW)] = SMALLEST_VIEW
    parameters: Count = 0
    arithmetic: Text = ""
    rounding_gap: Figure = None


def told_by(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """Return the metrics and the lineage of a trainer's manifest that are taken.

    Raises:
        ValueError: one has another kind than its name; the text says which.
    """
    found: dict[str, dict[str, Any]] = {}
    kinds: tuple[tuple[str, type[Told]], ...] = (("metrics", ToldMetrics), ("lineage", ToldLineage))
    for field, kind in kinds:
        try:
            told = kind.model_validate(getattr(manifest, field))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(each)[:40] for each in (field, *first["loc"]))
            raise ValueError(f"{place}: {first['msg']}") from None
        found[field] = told.model_dump(mode="json", exclude_unset=True)
    if found["lineage"].get("view_size", 0) > manifest.input_size:
        raise ValueError("lineage.view_size: more than the model reads")
    return found
