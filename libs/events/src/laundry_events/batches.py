"""Messages that arrived together have their effects in one transaction, and each fails for itself.

Nothing waits for a batch to fill: what arrives during a commit is the next batch, so a message that comes
alone is committed at once. If a batch fails, whoever may be at fault, it is rolled back and each of its
messages is handled in a transaction of its own, as if there were no batches. So an error, a lock or a slow
statement is in the end only its own message's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import structlog
from opentelemetry.trace import Span, get_current_span
from prometheus_client import Counter, Histogram

from laundry_events.envelope import EventMeta
from laundry_events.event import Event
from laundry_events.group_commit import GroupCommit
from laundry_events.interruptions import uncancelled
from laundry_events.message_spans import committing

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

AT_MOST = 100
"""Messages in one transaction."""

WITHIN_S = 1.0
"""A batch that takes longer is rolled back: one message that waits for a row must not hold up the others."""

APART_AT_ONCE = 5
"""Of the messages of a failed batch so many have a transaction at a time."""

E = TypeVar("E", bound=Event)
S = TypeVar("S", bound="AsyncSession | AsyncConnection")

MESSAGES = Histogram(
    "laundry_events_batch_messages",
    "Messages in one transaction",
    ["queue"],
    buckets=(1, 2, 5, 10, 20, 50, 100),
)
FAILED = Counter(
    "laundry_events_batches_failed", "Batches that were rolled back, each message tried alone", ["queue"]
)

log = structlog.get_logger(__name__)


class Received(NamedTuple, Generic[E]):
    """A message that has had no effect yet."""

    event: E
    meta: EventMeta


Transaction = Callable[[], AbstractAsyncContextManager[S]]
BatchHandler = Callable[[S, Sequence[Received[E]]], Awaitable[None]]


class HandledApart(Exception):
    """Its batch failed, which says nothing about this message."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"its batch failed: {type(error).__name__}: {error}")
        self.error = error


@dataclass(frozen=True, eq=False, slots=True)
class _Member(Generic[E]):
    message: Received[E]
    span: Span = field(default_factory=get_current_span)
    context: Context = field(default_factory=copy_context)


class Batches(Generic[S, E]):
    """The messages of one queue, on their way into the inbox."""

    def __init__(
        self,
        queue: str,
        handler: BatchHandler[S, E],
        *,
        inbox: str,
        transaction: Transaction[S],
        is_away: Callable[[BaseException], bool],
    ) -> None:
        """Call ``handler`` in a ``transaction`` in which the messages are claimed as ``inbox``.

        Args:
            is_away: whether the server that an error comes from is known to be away.
        """
        self._queue = queue
        self._handler = handler
        self._inbox = inbox
        self._transaction = transaction
        self._is_away = is_away
        self._commits = GroupCommit(self._commit, at_most=AT_MOST)
        self._apart = asyncio.Semaphore(APART_AT_ONCE)
        self._sizes = MESSAGES.labels(queue)
        FAILED.labels(queue)

    async def handle(self, event: E, meta: EventMeta) -> None:
        """Return once the message had its effect and that is committed; raises its own error."""
        message = Received(event, meta)
        failed: BaseException | None = None
        # What failed before would only spoil a batch.
        if meta.attempt == 1:
            try:
                await self._commits.add(_Member(message))
            except HandledApart as apart:
                failed = apart.error
            else:
                return
        async with self._apart:
            if failed is not None and self._is_away(failed):
                raise failed
            await self._store([message])

    async def _commit(self, members: Sequence[_Member[E]]) -> Sequence[BaseException | None]:
        self._sizes.observe(len(members))
        first = members[0]
        # In no message's context where there are several: what the handler logs is about all of them.
        storing = asyncio.create_task(
            self._store([first.message]) if len(members) == 1 else self._store_together(members),
            context=first.context if len(members) == 1 else Context(),
        )
        limit = asyncio.timeout(WITHIN_S)
        try:
            async with limit:
                await uncancelled(storing)
        except Exception as error:
            if len(members) == 1 and not limit.expired():
                raise
            FAILED.labels(self._queue).inc()
            # About all of them, and in this context one is named.
            Context().run(
                log.warning,
                "a batch failed; its messages are handled one by one",
                queue=self._queue,
                messages=len(members),
                error=f"{type(error).__name__}: {error}"[:500],
            )
            return [HandledApart(error)] * len(members)
        return [None] * len(members)

    async def _store_together(self, members: Sequence[_Member[E]]) -> None:
        with committing(self._queue, [member.span for member in members]):
            await self._store([member.message for member in members])

    async def _store(self, messages: Sequence[Received[E]]) -> None:
        from laundry_events.inbox import claim_each_once  # noqa: PLC0415 - needless without a database (20 MB)

        by_id = {message.meta.id: message for message in messages}
        async with self._transaction() as session:
            new = await claim_each_once(session, self._inbox, by_id)
            fresh = [message for message_id, message in by_id.items() if message_id in new]
            if fresh:
                await self._handler(session, fresh)
