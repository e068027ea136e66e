"""What this service does with messages."""

from ai_consumer.champion import Champion
from ai_consumer.pipeline import Pipeline
from ai_consumer.reading import reading_id
from laundry_events import EventConsumer, EventMeta, Publisher
from laundry_events.events import ModelPromoted, TaskSubmitted


def subscribe(
    consumer: EventConsumer, publisher: Publisher, pipeline: Pipeline, champion: Champion, *, prefetch: int
) -> None:
    """Subscribe to submitted tasks and to promotions."""

    @consumer.on("task.submitted", TaskSubmitted, prefetch=prefetch)
    async def on_submitted(event: TaskSubmitted, meta: EventMeta) -> None:
        read = await pipeline.read(event)
        # The message is acknowledged after this confirm, so a crash in between reads the photo twice;
        # the fixed id lets the helper see that it is the same reading.
        await publisher.publish(read, event_id=reading_id(meta.id))

    @consumer.on_stream("model.promoted", ModelPromoted)
    async def on_promoted(event: ModelPromoted, meta: EventMeta) -> None:
        champion.look_again()
