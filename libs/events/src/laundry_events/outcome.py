"""What becomes of a delivery: the one table of a consumer.

============================================== =========== ===================================================
what happened                                  outcome     what the broker is told
============================================== =========== ===================================================
the handler returned                           Ack         acknowledge
it raised, and attempts are left               Retry       copy to the next retry queue, acknowledge
it raised at the last attempt                  DeadLetter  copy and its reason to ``<queue>.dlq``, acknowledge
it raised ``PermanentError``, or the message   DeadLetter  the same, at once
is not one of ours
18 consumers died with it in flight            DeadLetter  the same, without handling it
it raised ``RequeueMessage``, or could not     Requeue     after a pause back to the queue, no attempt counted
publish
a server that every message needs is away      (none yet)  nothing: it is held and handled again afterwards
the same, but this was the half-open probe,    Defer       copy that lets others go first, no attempt counted,
or 10 consumers died with it in flight                     acknowledge
the consumer stops, or held it for 10 minutes  Requeue     at once back to the queue
its connection was lost meanwhile              Lost        nothing: another consumer has it by now
============================================== =========== ===================================================

A copy is confirmed by the broker before the original is acknowledged: a crash in between leaves two, which
the inbox makes one effect, and never none.
"""

from dataclasses import dataclass

from laundry_events.errors import PermanentError


@dataclass(frozen=True, slots=True)
class Ack:
    """The message had its effect."""


@dataclass(frozen=True, slots=True)
class Retry:
    """It failed and waits for its next attempt."""

    error: Exception


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """It failed for good and waits for a person."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Defer:
    """Others come first; neither an attempt nor a failed delivery is counted."""


@dataclass(frozen=True, slots=True)
class Requeue:
    """It goes back to its queue as it is: after a pause if there was an ``error``, else at once."""

    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """Its connection is gone, and with it the right to say anything about it."""


Outcome = Ack | Retry | DeadLetter | Defer | Requeue | Lost


def after_failure(error: Exception, *, attempt: int, max_attempts: int) -> Retry | DeadLetter:
    """Decide about a message whose handling failed at ``attempt``, 1 for the first."""
    final = isinstance(error, PermanentError) or attempt >= max_attempts
    return DeadLetter(error) if final else Retry(error)
