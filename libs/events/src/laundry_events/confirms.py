"""What the broker says to what is published, as errors of ours and in the metrics."""

import asyncio
import contextlib
from collections.abc import Iterator

import aiormq
from prometheus_client import Counter

from laundry_events.errors import BrokerUnavailable, Refused, Unroutable

PUBLISHED = Counter("laundry_events_published", "Messages that the broker confirmed", ["exchange", "key"])
PUBLISH_FAILED = Counter("laundry_events_publish_failed", "Publishes without a confirm", ["cause"])
# From 0 on, so that the first one is an increase.
for cause in ("unavailable", "refused", "unroutable"):
    PUBLISH_FAILED.labels(cause)


@contextlib.contextmanager
def publishing(exchange: str, routing_key: str) -> Iterator[None]:
    """Turn what the library raises while something is published into errors of ours, and count.

    Raises:
        BrokerUnavailable, Refused, Unroutable: as ``Publisher.publish``.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # The library cancels what waits on a channel that goes; this task was not asked to end.
        PUBLISH_FAILED.labels("unavailable").inc()
        raise BrokerUnavailable(f"the connection went before {routing_key!r} was confirmed") from error
    except aiormq.exceptions.PublishError as error:
        PUBLISH_FAILED.labels("unroutable").inc()
        raise Unroutable(f"no queue takes {routing_key!r} from {exchange!r}") from error
    except aiormq.exceptions.DeliveryError as error:
        PUBLISH_FAILED.labels("refused").inc()
        raise Refused(f"the broker refused {routing_key!r}: its queue is full or has no majority") from error
    except (TimeoutError, aiormq.exceptions.AMQPError, OSError, RuntimeError) as error:
        PUBLISH_FAILED.labels("unavailable").inc()
        raise BrokerUnavailable(
            f"the broker did not confirm {routing_key!r}: {type(error).__name__} {error}"
        ) from error
    PUBLISHED.labels(exchange, routing_key).inc()
