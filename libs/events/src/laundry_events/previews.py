"""What helper asks of ai-consumer, and the answer: the reading of a photo that nobody has submitted."""

from pydantic import BaseModel

from laundry_events.events import ReadLabel

PREVIEW_QUEUE = "photo.preview"
BRANCH_HEADER = "branch-id"


class Preview(BaseModel):
    """What a model sees in a photo, or why it cannot read it."""

    labels: list[ReadLabel] = []
    needs_review: bool
    multiple: bool = False
    model_version: str
    unreadable_reason: str | None = None
