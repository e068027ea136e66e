"""The identity provider's keys, never older than a few minutes.

A key that the provider withdraws is refused here within the lifespan. While the provider is away the known
keys stay in use, up to a limit; an unknown key triggers an immediate fetch, rate-limited.
"""

import asyncio
import contextvars
import math
import random
import time
from collections.abc import Sequence

import structlog
from prometheus_client import Counter, Gauge

from laundry_service.auth.key_set import KeySet, TrustedKey
from laundry_service.auth.remote import Remote, Unavailable
from laundry_service.background.task import BackgroundTask

MAX_BYTES = 256 * 1024
# How long a request waits for the provider at most.
WAIT_S = 2.5
# Fetches for unknown keys: a burst, then one per interval.
SEEK_BURST = 5
SEEK_EVERY_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
LOOK_EVERY_S = 5.0

FETCHES = Counter("laundry_jwks_fetches_total", "Fetches of the identity provider's keys", ["outcome"])
AGE = Gauge("laundry_jwks_age_seconds", "Since the identity provider's keys were last confirmed")

log = structlog.get_logger(__name__)


class UnknownKey(Exception):
    """The provider does not publish that key now."""


class KeysUnavailable(Exception):
    """It is unknown whether the provider publishes that key.

    Attributes:
        retry_after_s: when to ask again.
    """

    def __init__(self, why: str, retry_after_s: float) -> None:
        super().__init__(why)
        self.retry_after_s = math.ceil(max(1.0, retry_after_s))


class ProviderKeys:
    """Fetches the keys: one fetch at a time, shared by all waiters, on the event loop."""

    def __init__(self, url: str, *, lifespan_s: float, stale_s: float, timeout_s: float) -> None:
        """Take the JWKS address.

        Args:
            lifespan_s: keys older than this are refreshed before use.
            stale_s: keys that could not be refreshed for this long are no longer used.
            timeout_s: of one fetch.
        """
        self._remote = Remote(url, KeySet, max_bytes=MAX_BYTES, timeout_s=timeout_s)
        self._lifespan_s = lifespan_s
        self._stale_s = max(stale_s, lifespan_s)
        self._keys: KeySet | None = None
        self._confirmed_at = -math.inf
        self._began_at = time.monotonic()
        self._failures = 0
        self._not_before = -math.inf
        # Fetches for unknown keys are counted by the moment at which all of them are paid for.
        self._sought_until = -math.inf
        self._fetch: asyncio.Task[None] | None = None
        self._renewal = BackgroundTask(
            "identity keys", self._renew, every_s=min(LOOK_EVERY_S, lifespan_s / 4)
        )

    async def start(self) -> None:
        """Start refreshing the keys before they expire, so that no request waits for it."""
        await self._renewal.start()

    @property
    def age_s(self) -> float:
        """Seconds since the keys were last confirmed, or since there is this object."""
        return time.monotonic() - max(self._confirmed_at, self._began_at)

    async def stop(self) -> None:
        """Cancel the refreshing and any fetch in progress."""
        await self._renewal.stop()
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.gather(self._fetch, return_exceptions=True)

    async def find(self, key_id: str, algorithm: str, *, seek: bool = True) -> tuple[TrustedKey, ...]:
        """Return the keys of that id for that algorithm; waits ``WAIT_S`` at most.

        Args:
            seek: whether the provider is asked about a key that is not known.

        Raises:
            UnknownKey: there is none.
            KeysUnavailable: the provider cannot be reached.
        """
        asked_at = time.monotonic()
        await self._confirm()
        found = self._known(key_id, algorithm)
        if not found and seek:
            found = await self._seek(key_id, algorithm, asked_at)
        if not found:
            raise UnknownKey
        return found

    def trusts(self, fingerprint: str) -> bool:
        """Whether a key is currently trusted."""
        return self._keys is not None and self._counts() and fingerprint in self._keys.fingerprints

    def _counts(self) -> bool:
        return time.monotonic() - self._confirmed_at <= self._stale_s

    def _known(self, key_id: str, algorithm: str) -> tuple[TrustedKey, ...]:
        return () if self._keys is None else self._keys.find(key_id, algorithm)

    async def _confirm(self) -> None:
        """Make sure that the keys are not too old.

        Raises:
            KeysUnavailable: they are, and the provider does not answer.
        """
        age_s = time.monotonic() - self._confirmed_at
        if age_s < self._lifespan_s / 2:
            return
        fetch = self._begin()
        # After a failure nobody waits for a fetch while the known keys are still usable.
        if fetch is not None and age_s >= self._lifespan_s and (not self._failures or not self._counts()):
            await asyncio.wait({fetch}, timeout=WAIT_S)
        if not self._counts():
            raise KeysUnavailable("the keys cannot be fetched", self._not_before - time.monotonic())

    async def _seek(self, key_id: str, algorithm: str, asked_at: float) -> tuple[TrustedKey, ...]:
        """Fetch an unknown key, with a fetch that starts after this call."""
        while not (found := self._known(key_id, algorithm)) and self._confirmed_at < asked_at:
            now = time.monotonic()
            left_s = asked_at + WAIT_S - now
            if self._under_way() is not None:
                await self._wait(left_s)
                continue
            due_at = max(self._not_before, self._sought_until - (SEEK_BURST - 1) * SEEK_EVERY_S)
            if due_at - now > left_s:
                raise KeysUnavailable("unknown keys are asked for seldom", due_at - now)
            if due_at > now:
                await asyncio.sleep(due_at - now)
                continue
            self._sought_until = max(self._sought_until, now) + SEEK_EVERY_S
            self._begin()
        return found

    async def _wait(self, longest_s: float) -> None:
        fetch = self._under_way()
        if fetch is not None:
            done, _ = await asyncio.wait({fetch}, timeout=max(0.0, longest_s))
            if not done:
                raise KeysUnavailable("the provider does not answer", FIRST_PAUSE_S)

    def _under_way(self) -> asyncio.Task[None] | None:
        return None if self._fetch is None or self._fetch.done() else self._fetch

    def _begin(self) -> asyncio.Task[None] | None:
        """Begin a fetch, or join the one under way; none while the provider is left alone after a failure."""
        if self._under_way() is None:
            if time.monotonic() < self._not_before:
                return None
            # In a context of its own: it belongs to no request's trace.
            self._fetch = asyncio.create_task(
                self._fetch_once(), name="fetch keys", context=contextvars.Context()
            )
        return self._fetch

    async def _fetch_once(self) -> None:
        began_at = time.monotonic()
        try:
            keys = await self._remote.fetch()
        # Whatever it is: unless the failure is recorded, the next request would retry at once.
        except Exception as error:
            self._failures += 1
            pause_s = min(FIRST_PAUSE_S * 2 ** min(self._failures - 1, 10), LONGEST_PAUSE_S)
            # Jitter: replicas that failed together do not retry together.
            self._not_before = time.monotonic() + pause_s * random.uniform(0.75, 1)  # noqa: S311
            FETCHES.labels("failed").inc()
            log.warning(
                "the JWKS cannot be fetched",
                error=str(error),
                failures=self._failures,
                exc_info=not isinstance(error, Unavailable),
            )
            return
        if keys is not None:
            if self._keys is not None and (gone := self._keys.fingerprints - keys.fingerprints):
                log.info("keys were withdrawn", number=len(gone))
            self._keys = keys
        self._confirmed_at, self._failures, self._not_before = began_at, 0, -math.inf
        FETCHES.labels("ok").inc()

    async def _renew(self) -> None:
        if time.monotonic() - self._confirmed_at >= self._lifespan_s / 2:
            self._begin()


def tell_age(providers: Sequence[ProviderKeys]) -> None:
    """Let the metric tell the age of the oldest keys."""
    AGE.set_function(lambda: max(each.age_s for each in providers))
