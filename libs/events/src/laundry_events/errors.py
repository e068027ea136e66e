"""What can go wrong between an event and its effect, by what should happen next."""


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
    """The message is no CloudEvent of ours: headers are missing or the body does not parse."""

    reason = "malformed"


class InterruptedHandling(Exception):
    """Something cancelled what a handler waited for, though nobody asked the handler to end."""


class UnknownEvent(PermanentError):
    """The type or the version of the event is not known to this reader."""

    reason = "unknown-event"


class EventTooLarge(PermanentError):
    """The encoded event is larger than a message may be (64 KiB, DD-02 and TripGen's queue plan)."""

    reason = "too-large"


class ConsumerKilled(PermanentError):
    """The message was in hand at so many deaths of consumers that it is their most likely cause."""

    reason = "delivery_limit"


class NotSigned(PermanentError):
    """It came back to its queue, and its consumer never sent it away as it is: forged, changed, too old."""

    reason = "redrive-not-signed"


class NotNow(Exception):
    """Nothing is wrong with the message; this consumer cannot handle it just now, but another may."""


class DrillError(Exception):
    """A message that was sent to fail did fail: a rehearsal of retries, dead letters and their alerts."""


class PublishError(Exception):
    """The broker did not take the message; it is not known to be stored."""


class BrokerUnavailable(PublishError):
    """There is no connection to the broker, or it did not confirm in time: try again later."""


class Refused(PublishError):
    """The broker is there but this queue takes nothing now: other queues may, so go on with the others."""


class NotTaken(PublishError):
    """The broker or the library refuses this very message: sending it again as it is would end the same."""


class Unroutable(PublishError):
    """The broker has no queue for this message: the topology is not applied or the key is wrong."""


class PlanRefused(Exception):
    """The broker's management API would not show or take the plan; the message holds its answer."""
