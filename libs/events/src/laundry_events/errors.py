"""What can go wrong between an event and its effect, grouped by what should happen next."""


class PermanentError(Exception):
    """Trying again cannot help: the message goes to its dead-letter queue at once.

    ``reason`` is a stable machine-readable word that operators group dead letters by.
    """

    reason = "permanent"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason


class MalformedMessage(PermanentError):
    """The message is not one of our CloudEvents: headers are missing or the body does not parse."""

    reason = "malformed"


class InterruptedHandling(Exception):
    """Something the handler awaited was cancelled, although nobody cancelled the handler."""


class UnknownEvent(PermanentError):
    """The type or the version of the event is not known to this reader."""

    reason = "unknown-event"


class EventTooLarge(PermanentError):
    """The encoded event is larger than a message may be (64 KiB, DD-02 and TripGen's queue plan)."""

    reason = "too-large"


class ConsumerKilled(PermanentError):
    """The message was in flight at so many consumer crashes that it is their most likely cause."""

    reason = "delivery_limit"


class NotSigned(PermanentError):
    """It came back to its queue without a valid signature of its consumer: forged, changed or too old."""

    reason = "redrive-not-signed"


class RequeueMessage(Exception):
    """Nothing is wrong with the message; this consumer cannot handle it just now, but another may."""


class DrillError(Exception):
    """A message sent to fail did fail: a drill for retries, dead letters and their alerts."""


class NoAnswer(Exception):
    """Nobody answered a request in time; whether somebody began to is not known."""


class PublishError(Exception):
    """The broker did not take the message; it is not known to be stored."""


class BrokerUnavailable(PublishError):
    """There is no connection to the broker, or it did not confirm in time: try again later."""


class Refused(PublishError):
    """The broker is up but this queue accepts nothing at the moment; other queues may, so carry on with
    those."""


class Unpublishable(PublishError):
    """The broker or the library rejects this particular message; resending it unchanged would fail again."""


class Unroutable(PublishError):
    """The broker has no queue for this message: the topology is not applied or the key is wrong."""


class PlanRefused(Exception):
    """The broker's management API would not show or take the plan; the message holds its answer."""
