"""Changes in any replica: received by NOTIFY, looked up once, sent to every interested listener."""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, KeysView, Sequence
from typing import Any

import asyncpg
import structlog
from prometheus_client import Counter

from laundry_events import silent_hosts
from laundry_events.dsn import plain_dsn
from laundry_service.background.task import BackgroundTask
from laundry_service.streams.subscription import QUEUE_SIZE, Change, NotListening, Subscription

START_S = 2.0
"""So long a start waits for the database to hear us; who would listen before that is told to come back."""
BATCH = 200
WAITING = 10_000
TRIES = 3
PAUSE_S = 0.5
SLICE = 100
# A connection that breaks silently delivers nothing and raises nothing.
PROBE_EVERY_S = 10.0
PROBE_S = 5.0

RESETS = Counter("laundry_stream_resets", "Times that all listeners were told to refetch", ["channel"])
LOOK_UPS = Counter("laundry_stream_lookups", "Queries for what changed", ["channel"])

log = structlog.get_logger(__name__)


class Audience:
    """The listeners, by topic."""

    def __init__(self) -> None:
        self._by_topic: dict[Hashable, set[Subscription]] = {}
        self._all: set[Subscription] = set()
        self._everybody: set[Subscription] = set()

    def __len__(self) -> int:
        return len(self._everybody)

    @property
    def topics(self) -> KeysView[Hashable]:
        """The topics with at least one listener."""
        return self._by_topic.keys()

    def hears(self, topic: Hashable) -> bool:
        """Whether a topic has a listener."""
        return bool(self._all) or topic in self._by_topic

    def add(self, subscription: Subscription) -> None:
        """Add a listener under each of its topics."""
        self._everybody.add(subscription)
        if subscription.topics is None:
            self._all.add(subscription)
            return
        for topic in subscription.topics:
            self._by_topic.setdefault(topic, set()).add(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Remove a listener; one that is not there is fine."""
        self._everybody.discard(subscription)
        self._all.discard(subscription)
        for topic in subscription.topics or ():
            if (followers := self._by_topic.get(topic)) is not None:
                followers.discard(subscription)
                if not followers:
                    del self._by_topic[topic]

    def of(self, change: Change) -> list[Subscription]:
        """Return the listeners of a change."""
        if change.topic is None:
            return list(self._everybody)
        return [*self._by_topic.get(change.topic, ()), *self._all]

    def everybody(self) -> list[Subscription]:
        """Return all listeners, whatever their topics."""
        return list(self._everybody)


LookUp = Callable[[Sequence[str], Audience], Awaitable[Iterable[Change]]]


def _whole(payload: str) -> Iterable[str]:
    return (payload,)


class Changes:
    """Listens on one NOTIFY channel, reads what changed, and passes it to the interested listeners.

    One query answers for a change however many listen, and for all changes that came during the query before.
    If they come faster than they can be read, or cannot be read, the listeners are told to refetch. When
    the database hangs up, every stream ends: what changes meanwhile is not heard, and any client knows what
    an end means.
    """

    def __init__(
        self,
        database_url: str,
        channel: str,
        look_up: LookUp,
        *,
        keys: Callable[[str], Iterable[str]] = _whole,
        at_most: int = QUEUE_SIZE,
    ) -> None:
        """Take the service's database, the channel, and what reads the states for a batch of keys.

        Args:
            look_up: is given each key once and who listens; may leave out what nobody hears.
            keys: what a payload (at most 8,000 bytes) names; the payload itself unless told otherwise.
            at_most: how many changes may be pending for a listener before it is told to refetch.
        """
        self._dsn = plain_dsn(database_url)
        self._channel = channel
        self._look_up = look_up
        self._keys = keys
        self._at_most = at_most
        self.audience = Audience()
        self._waiting: dict[str, None] = {}
        self._listening = False
        self._tried = asyncio.Event()
        self._failed = 0
        self._delivering = BackgroundTask(
            f"deliver-{channel}", self._deliver, every_s=math.inf, retry_s=PAUSE_S
        )
        self._hearing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start listening; returns once the database has confirmed it or timed out."""
        self._hearing = asyncio.create_task(self._listen(), name=f"listen-{self._channel}")
        await self._delivering.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await self._tried.wait()

    async def stop(self) -> None:
        """Close the LISTEN connection and deliver nothing more."""
        if self._hearing is not None:
            self._hearing.cancel()
            await asyncio.gather(self._hearing, return_exceptions=True)
        await self._delivering.stop()

    @contextlib.contextmanager
    def follow(self, topics: Iterable[Hashable] | None, *, variant: str = "") -> Iterator[Subscription]:
        """Subscribe for the duration of the block; every change from its start on is delivered.

        Raises:
            NotListening: there is no LISTEN connection at the moment.
        """
        if not self._listening:
            raise NotListening
        subscription = Subscription(
            None if topics is None else frozenset(topics), variant=variant, at_most=self._at_most
        )
        self.audience.add(subscription)
        try:
            yield subscription
        finally:
            self.audience.remove(subscription)

    async def _listen(self) -> None:
        pause_s = PAUSE_S
        while True:
            connection: asyncpg.Connection[Any] | None = None
            try:
                # LISTEN is answered at once, or the connection broke just then.
                connection = await silent_hosts.connect(self._dsn, command_timeout=PROBE_S)
                closed = asyncio.Event()
                connection.add_termination_listener(lambda _, closed=closed: closed.set())
                await connection.add_listener(self._channel, self._on_notify)
                self._listening = True
                self._tried.set()
                pause_s = PAUSE_S
                await self._until_deaf(connection, closed)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("change listener lost its database", error=f"{type(error).__name__}: {error}")
            except Exception:
                log.exception("change listener failed")
            finally:
                self._deaf()
                if connection is not None and not connection.is_closed():
                    with contextlib.suppress(Exception):
                        await connection.close(timeout=2)
                self._tried.set()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 10)

    async def _until_deaf(self, connection: "asyncpg.Connection[Any]", closed: asyncio.Event) -> None:
        while not closed.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROBE_EVERY_S):
                    await closed.wait()
            if not closed.is_set():
                await connection.execute("SELECT 1", timeout=PROBE_S)

    def _deaf(self) -> None:
        self._listening = False
        self._waiting.clear()
        for subscription in self.audience.everybody():
            subscription.end("database")

    def _on_notify(self, *arguments: Any) -> None:
        if not self.audience:
            return
        for key in self._keys(str(arguments[-1])):
            self._waiting[key] = None
        if len(self._waiting) > WAITING:
            self._reset_all("changes come faster than they can be read")
        self._delivering.wake()

    def _reset_all(self, why: str) -> None:
        log.warning("all listeners are told to fetch anew", channel=self._channel, why=why)
        RESETS.labels(self._channel).inc()
        self._waiting.clear()
        for subscription in self.audience.everybody():
            subscription.reset()

    async def _deliver(self) -> float:
        """Tell of what waits, a batch of it; returns when to go on."""
        batch = [key for key, _ in zip(self._waiting, range(BATCH), strict=False)]
        for key in batch:
            del self._waiting[key]
        if not batch:
            return math.inf
        try:
            LOOK_UPS.labels(self._channel).inc()
            changes = await self._look_up(batch, self.audience)
            await self._hand_out(changes)
        except Exception as error:
            self._failed += 1
            log.warning(
                "changes could not be read", channel=self._channel, error=f"{type(error).__name__}: {error}"
            )
            if self._failed >= TRIES:
                self._failed = 0
                self._reset_all("changes cannot be read")
            elif self._listening:
                self._waiting = {**dict.fromkeys(batch), **self._waiting}
            # A pause that no further change cuts short.
            await asyncio.sleep(PAUSE_S)
        else:
            self._failed = 0
        return 0.0

    async def _hand_out(self, changes: Iterable[Change]) -> None:
        offered = 0
        for change in changes:
            for subscription in self.audience.of(change):
                subscription.offer(change)
                offered += 1
                # However many listen, requests are answered in between.
                if offered % SLICE == 0:
                    await asyncio.sleep(0)
