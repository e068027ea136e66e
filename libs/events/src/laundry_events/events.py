"""The events that services exchange: past tense, typed, versioned (DD-02 §4.4.2.2.1).

Readers ignore fields they do not know, so a producer may add optional ones. Anything else is a new
version; ``schemas/`` holds the committed JSON schema of every version and a test guards the promise.
"""

from typing import Annotated, Literal

from pydantic import Field

from laundry_events.event import Event, Part, PersonId
from laundry_events.moments import Moment

BranchId = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Confidence = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=999)]


class Photo(Part):
    """Where a photo is stored and its hash and size; the bytes never travel in a message."""

    key: Annotated[str, Field(min_length=1, max_length=512)]
    sha256: Sha256
    bytes: Annotated[int, Field(ge=1)]
    media_type: str


class Picture(Photo):
    """A picture of a photo that is made for showing; width and height are as it is shown."""

    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]


class Pictures(Part):
    """What pages show of a photo: for a card, and for a list."""

    display: Picture
    thumbnail: Picture


class ReadLabel(Part):
    """One kind of garment that the model saw."""

    label: str
    confidence: Confidence
    count: Count = 1


class CountedLabel(Part):
    """One kind of garment that a person confirmed."""

    label: str
    count: Count = 1


class TaskSubmitted(Event):
    """A helper's photo was registered; it waits to be read."""

    event_type = "TaskSubmitted"
    routing_key = "task.submitted"

    task_id: str
    task_version: Annotated[int, Field(ge=1, description="Rises with each change of the task")]
    branch_id: BranchId
    helper_id: PersonId
    photo: Photo
    submitted_at: Moment

    @property
    def subject(self) -> str:
        """The id of the task that the event is about."""
        return self.task_id


class TaskRead(Event):
    """A replica read the photo, or found that it cannot be read."""

    event_type = "TaskRead"
    routing_key = "task.read"

    task_id: str
    task_version: Annotated[int, Field(ge=1, description="The version of the task that was read")]
    branch_id: BranchId
    outcome: Literal["read", "unreadable"]
    reason: str | None = Field(default=None, description="Why it is unreadable")
    labels: list[ReadLabel] = Field(
        default=[],
        description="Guesses at the one garment, best first; if multiple, the garments that were found",
    )
    needs_review: bool = True
    multiple: bool = Field(default=False, description="It seems to show more than one garment")
    pictures: Pictures | None = Field(
        default=None, description="What to show of the photo, if the reader had the time to make it"
    )
    model_version: str
    read_at: Moment

    @property
    def subject(self) -> str:
        """The id of the task that the event is about."""
        return self.task_id


class TaskConfirmed(Event):
    """A branch owner confirmed or corrected a reading: an example to learn from."""

    event_type = "TaskConfirmed"
    routing_key = "task.confirmed"

    task_id: str
    task_version: Annotated[int, Field(ge=1)]
    branch_id: BranchId
    photo: Photo
    read_labels: list[ReadLabel] = []  # noqa: RUF012 - Pydantic copies it
    model_version: str | None = None
    labels: Annotated[list[CountedLabel], Field(min_length=1)]
    corrected: bool
    confirmed_by: PersonId
    confirmed_at: Moment

    @property
    def subject(self) -> str:
        """The id of the task that the event is about."""
        return self.task_id


class EquipmentFault(Event):
    """A piece of equipment failed; told once until it clears, and passed on while nobody acknowledges it."""

    event_type = "EquipmentFault"
    routing_key = "equipment.fault"

    fault_id: str
    equipment_id: str
    branch_id: BranchId
    kind: str = Field(description="washer, dryer, boiler, ...")
    cause: Literal["fault_code", "limit", "heartbeat"]
    fault_code: str | None = None
    metric: str | None = None
    value: float | None = None
    limit: float | None = None
    detected_at: Moment
    recorded_at: Moment | None = Field(
        default=None, description="When it happened by the equipment's own clock"
    )
    received_at: Moment | None = Field(default=None, description="When its report arrived here")
    clock_off: bool = Field(
        default=False, description="The equipment's clock is wrong, so recorded_at is not to be trusted"
    )
    count: Annotated[
        int, Field(ge=1, description="How many troubles this fault stands for: a burst is told as one")
    ] = 1
    escalation: Annotated[
        int, Field(ge=0, description="How often it was passed on to the next because nobody acknowledged it")
    ] = 0
    escalated_at: Moment | None = Field(default=None, description="When it was passed on last")

    @property
    def subject(self) -> str:
        """The id of the equipment that the event is about."""
        return self.equipment_id


class FaultAcknowledged(Event):
    """Somebody said that he takes care of a fault: nobody else has to be told."""

    event_type = "FaultAcknowledged"
    routing_key = "equipment.fault.acknowledged"

    fault_id: str
    equipment_id: str
    branch_id: BranchId
    acknowledged_by: PersonId
    acknowledged_at: Moment

    @property
    def subject(self) -> str:
        """The id of the equipment that the event is about."""
        return self.equipment_id


class PreferenceMatch(Part):
    """One customer whom the preference suits, and why."""

    customer_id: PersonId
    score: Confidence
    reasons: list[str] = Field(default=[], description="The tags that made the score, strongest first")


class PreferenceCreated(Event):
    """A branch stated what it is like; these customers like that. Large audiences come in parts."""

    event_type = "PreferenceCreated"
    routing_key = "preference.created"

    preference_id: str
    branch_id: BranchId
    title: str
    text: str
    tags: dict[str, Confidence]
    matches: list[PreferenceMatch]
    part: Annotated[int, Field(ge=1)] = 1
    parts: Annotated[int, Field(ge=1)] = 1
    created_at: Moment

    @property
    def subject(self) -> str:
        """The id of the branch that the event is about."""
        return self.branch_id


class PreferenceWithdrawn(Event):
    """A branch no longer says what it said: whoever has not been told of it is not."""

    event_type = "PreferenceWithdrawn"
    routing_key = "preference.withdrawn"

    preference_id: str
    branch_id: BranchId
    withdrawn_at: Moment

    @property
    def subject(self) -> str:
        """The id of the branch that the event is about."""
        return self.branch_id


class ModelPromoted(Event):
    """A model became the champion; every replica fetches it by its manifest."""

    event_type = "ModelPromoted"
    routing_key = "model.promoted"

    model_version: str
    manifest_key: str
    sha256: Sha256
    previous_version: str | None = None
    promoted_by: str
    promoted_at: Moment

    @property
    def subject(self) -> str:
        """The version of the model that the event is about."""
        return self.model_version


class PhotoDeleted(Event):
    """A task's photo was kept as long as its branch keeps photos; the file and its pictures are gone."""

    event_type = "PhotoDeleted"
    routing_key = "photo.deleted"

    task_id: str
    branch_id: BranchId
    photo_sha256: Sha256
    keep_features: bool = Field(
        description="The branch agreed that what was learnt from it is kept, as features without the picture"
    )
    deleted_at: Moment

    @property
    def subject(self) -> str:
        """The id of the task that the event is about."""
        return self.task_id


class PersonErased(Event):
    """A person is to be forgotten: what is theirs is deleted, and where they acted a word stands for them."""

    event_type = "PersonErased"
    routing_key = "person.erased"

    erasure_id: str
    person_id: PersonId = Field(description="The sub of their tokens")
    tombstone: str = Field(description="What stands in place of the person where a row must remain")
    attempt: Annotated[
        int, Field(ge=1, description="An erasure is repeated until nothing can bring the person back")
    ] = 1
    requested_at: Moment

    @property
    def subject(self) -> str:
        """The erasure's id: headers are logged, and the person's name must not be."""
        return self.erasure_id


class PersonForgotten(Event):
    """One service holds nothing of a person any more."""

    event_type = "PersonForgotten"
    routing_key = "person.forgotten"

    erasure_id: str
    attempt: Annotated[int, Field(ge=1)]
    service: str
    rows: dict[str, int] = Field(description="How many rows of each kind were deleted or changed")
    forgotten_at: Moment

    @property
    def subject(self) -> str:
        """The id of the erasure that the event is about."""
        return self.erasure_id


EVENTS: tuple[type[Event], ...] = (
    TaskSubmitted,
    TaskRead,
    TaskConfirmed,
    EquipmentFault,
    FaultAcknowledged,
    PreferenceCreated,
    PreferenceWithdrawn,
    ModelPromoted,
    PhotoDeleted,
    PersonErased,
    PersonForgotten,
)

__all__ = [
    "EVENTS",
    "BranchId",
    "CountedLabel",
    "EquipmentFault",
    "FaultAcknowledged",
    "ModelPromoted",
    "PersonErased",
    "PersonForgotten",
    "Photo",
    "PhotoDeleted",
    "Picture",
    "Pictures",
    "PreferenceCreated",
    "PreferenceMatch",
    "PreferenceWithdrawn",
    "ReadLabel",
    "TaskConfirmed",
    "TaskRead",
    "TaskSubmitted",
]
