"""The service's message handlers."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import Counter, Histogram

from ai_consumer.reading import reading_id
from ai_consumer.service.champion import Champion
from ai_consumer.service.pipeline import Pipeline
from laundry_events import EventConsumer, EventMeta, Publisher
from laundry_events.events import ModelPromoted, TaskRead, TaskSubmitted
from laundry_events.previews import BRANCH_HEADER, PREVIEW_QUEUE

PREVIEWS_AT_ONCE = 2

# What is read, for alerts on drift: the mix of classes, and how sure the model is.
GUESSED = Counter("laundry_guesses", "Photos by the class that is the first guess", ["label"])
SURE = Histogram(
    "laundry_guess_confidence", "Confidence of the first guess", buckets=(0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1)
)


def note_mix(read: TaskRead) -> None:
    """Count a reading's first guess; a list of several garments is none."""
    if read.labels and not read.multiple:
        GUESSED.labels(read.labels[0].label).inc()
        SURE.observe(read.labels[0].confidence)


def subscribe(
    consumer: EventConsumer, publisher: Publisher, pipeline: Pipeline, champion: Champion, *, prefetch: int
) -> None:
    """Subscribe to submitted tasks, to previews and to promotions."""

    @consumer.on("task.submitted", TaskSubmitted, prefetch=prefetch)
    async def on_submitted(event: TaskSubmitted, meta: EventMeta) -> None:
        name = reading_id(meta.id)
        read = await pipeline.read(event, name)
        # The message is acknowledged after this confirm, so a crash in between reads the photo twice;
        # the fixed id lets the helper see that it is the same reading.
        await publisher.publish(read, event_id=name)
        note_mix(read)

    @consumer.on_request(PREVIEW_QUEUE, prefetch=PREVIEWS_AT_ONCE)
    async def on_preview(photo: bytes, headers: Mapping[str, Any]) -> bytes:
        found = await pipeline.preview(photo, str(headers[BRANCH_HEADER]))
        return found.model_dump_json().encode()

    @consumer.on_stream("model.promoted", ModelPromoted)
    async def on_promoted(event: ModelPromoted, meta: EventMeta) -> None:
        champion.look_again()
