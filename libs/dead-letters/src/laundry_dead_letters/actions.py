"""What an operator does with dead letters, one queue at a time, in a crash-safe order."""

import asyncio
import base64
import json
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

from laundry_dead_letters.audit import Audit
from laundry_dead_letters.broker import Broker
from laundry_dead_letters.dead_letter import DeadLetter, OperatorAction, Selection, redriven_headers, utc


@dataclass(slots=True)
class Bounds:
    """How far a command goes.

    At most ``scan`` letters looked at in a queue, ``limit`` treated in all, ``seconds`` spent on looking.
    """

    scan: int = 10_000
    limit: int | None = None
    seconds: float | None = None


@dataclass(slots=True)
class Tally:
    """Progress so far, readable even after an interruption. ``tell`` is called for every letter.

    ``here`` counts what was done in the current queue, for the rate.
    """

    looked_at: int = 0
    waiting: int = 0
    done: int = 0
    here: int = 0
    tell: Callable[["Tally"], None] = field(default=lambda _: None, repr=False)


@dataclass(slots=True)
class Summary:
    """The dead letters of one queue."""

    queue: str
    waiting: int = 0
    looked_at: int = 0
    oldest: datetime | None = None
    redriven: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, letter: DeadLetter) -> None:
        """Count a letter in."""
        self.looked_at += 1
        self.redriven += bool(letter.redriven)
        self.reasons[f"{letter.reason} ({letter.error_class})" if letter.error_class else letter.reason] += 1
        if letter.died_at and (self.oldest is None or letter.died_at < self.oldest):
            self.oldest = letter.died_at


Handle = Callable[[DeadLetter], None]


async def look(
    broker: Broker, queue: str, selection: Selection, bounds: Bounds, tally: Tally, *, handle: Handle
) -> None:
    """Pass every selected letter to ``handle``; all stay in their queue."""
    until = None if bounds.seconds is None else time.monotonic() + bounds.seconds
    async with broker.browse(queue, scan=bounds.scan) as browser:
        tally.waiting += browser.waiting
        async for held in browser:
            tally.looked_at += 1
            if selection.takes(held.letter):
                handle(held.letter)
                tally.done += 1
            tally.tell(tally)
            if bounds.limit is not None and tally.done >= bounds.limit:
                break
            if until is not None and time.monotonic() > until:
                break


async def summarise(broker: Broker, queue: str, bounds: Bounds, tally: Tally) -> Summary:
    """Count a queue's dead letters by reason."""
    summary = Summary(queue)
    before = tally.waiting
    await look(broker, queue, Selection(), bounds, tally, handle=summary.add)
    summary.waiting = tally.waiting - before
    return summary


async def redrive(
    broker: Broker,
    queue: str,
    selection: Selection,
    bounds: Bounds,
    tally: Tally,
    *,
    act: OperatorAction,
    audit: Audit,
    rate: float,
    stop: Callable[[], bool] = lambda: False,
    to_origin: bool = False,
) -> None:
    """Send letters back to their queue, at most ``rate`` a second.

    Copy confirmed, then the record, then the ack: whatever stops this in between leaves the letter where it
    is. The next run finds a letter that has its record already and only removes it; one that was stopped
    between copy and record goes a second time with the same id, which the consumers' inboxes know.

    With ``to_origin`` they go to the exchange that they were first published to, which needs an
    administrator's login.
    """
    deliver = broker.publish_at_origin if to_origin else broker.requeue

    async def send(letter: DeadLetter, now: datetime) -> None:
        await deliver(letter, redriven_headers(letter, act, now))

    await remove(
        broker, queue, selection, bounds, tally, act=act, audit=audit, rate=rate, stop=stop, first=send
    )


async def remove(
    broker: Broker,
    queue: str,
    selection: Selection,
    bounds: Bounds,
    tally: Tally,
    *,
    act: OperatorAction,
    audit: Audit,
    rate: float = 1000.0,
    stop: Callable[[], bool] = lambda: False,
    first: Callable[[DeadLetter, datetime], Awaitable[None]] | None = None,
) -> None:
    """Remove letters for good, at most ``rate`` a second, each after its audit record is safe.

    With ``first`` that is done with each letter before the record.
    """
    await audit.check()
    began = time.monotonic()
    tally.here = 0
    async with broker.browse(queue, scan=bounds.scan) as browser:
        tally.waiting += browser.waiting
        async for held in browser:
            tally.looked_at += 1
            tally.tell(tally)
            if selection.takes(held.letter):
                await asyncio.sleep(max(0.0, began + tally.here / rate - time.monotonic()))
                now = datetime.now(UTC)
                # Without an id two letters that look alike may be two effects: those are never taken for one.
                known = held.letter.message_id is not None and await audit.has(held.letter, act.action)
                if not known:
                    if first is not None:
                        await first(held.letter, now)
                    await audit.write(held.letter, act, now)
                await held.remove()
                tally.here += 1
                tally.done += 1
                tally.tell(tally)
            if stop() or (bounds.limit is not None and tally.done >= bounds.limit):
                break


def exported(letter: DeadLetter, *, body: bool = True) -> dict[str, Any]:
    """Return a letter as a JSON object; the body, whatever bytes it is, as base64."""
    found: dict[str, Any] = {
        "queue": letter.queue,
        "message_id": letter.message_id,
        "reason": letter.reason,
        "error_class": letter.error_class or None,
        "error_message": letter.error_message or None,
        "attempts": letter.attempts,
        "deliveries": letter.deliveries,
        "first_failed_at": letter.first_failed_at or None,
        "original_routing_key": letter.origin[1],
        "died_at": utc(letter.died_at) if letter.died_at else None,
        "redriven": letter.redriven,
        "trace_id": letter.trace_id,
        "signed": letter.signed,
        "properties": plain(letter.properties),
        "headers": plain(letter.headers),
    }
    if body:
        found["body_base64"] = base64.b64encode(letter.body).decode()
    return found


def write_line(letter: DeadLetter, target: TextIO) -> None:
    """Write a letter as a line of JSON."""
    target.write(json.dumps(exported(letter), ensure_ascii=False) + "\n")


def plain(value: Any) -> Any:
    """Turn AMQP field values into JSON: times as RFC 3339, bytes as base64, what is no JSON as text."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return _plain_time(value)
    if isinstance(value, bytes | bytearray):
        return {"base64": base64.b64encode(value).decode()}
    known = (
        value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    )
    return value if known else str(value)


def _plain_time(value: datetime) -> str:
    try:
        return utc(value if value.tzinfo else value.replace(tzinfo=UTC))
    except OverflowError:
        return value.isoformat()
