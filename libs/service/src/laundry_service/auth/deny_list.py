"""Who is cut off before a token ends: a document of the identity provider, by subject or by token id.

``{"denied": [{"sub": "kim"}, {"sub": "lee", "issued_before": "2026-11-28T09:00:00Z"},
{"jti": "4f0c…", "until": "2026-11-29T09:00:00Z"}]}``
"""

import asyncio
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from prometheus_client import Counter, Gauge

from laundry_service.auth.claims import MAX_SUBJECT, MAX_TOKEN_ID
from laundry_service.auth.principal import Principal
from laundry_service.auth.remote import Malformed, Remote, Unavailable
from laundry_service.background.task import BackgroundTask

MAX_BYTES = 2 * 1024 * 1024
MAX_ENTRIES = 20_000
# How long a request waits while the list has never been read.
WAIT_S = 2.5
FIRST_EVERY_S = 1.0

FETCHES = Counter("laundry_deny_list_fetches_total", "Fetches of the list of who is cut off", ["outcome"])
AGE = Gauge("laundry_deny_list_age_seconds", "Since the oldest list of who is cut off was last confirmed")
ENTRIES = Gauge("laundry_deny_list_entries", "Entries of all lists of who is cut off", ["state"])

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Entry:
    """One entry; times are Unix seconds.

    Attributes:
        until: none means until it leaves the list.
        issued_before: only tokens from before; those that do not say when they were issued are.
    """

    until: float = math.inf
    issued_before: float = math.inf

    def covers(self, principal: Principal, now: float) -> bool:
        """Whether the entry applies to a caller that it names."""
        issued_at = -math.inf if principal.issued_at is None else principal.issued_at
        return now < self.until and issued_at < self.issued_before


class DenyList:
    """Entries by the subject or the token id that they name."""

    def __init__(self, document: object = None) -> None:
        """Parse a document; an unreadable entry is skipped, the others count.

        Raises:
            Malformed: it is no list of denials, or too long.
        """
        entries = document.get("denied") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            raise Malformed("no list named denied")
        if len(entries) > MAX_ENTRIES:
            raise Malformed(f"{len(entries)} entries, more than {MAX_ENTRIES}: leave out those that are over")
        self._by_subject: dict[str, list[Entry]] = defaultdict(list)
        self._by_token: dict[str, list[Entry]] = defaultdict(list)
        self.unreadable = 0
        for index, entry in enumerate(entries):
            try:
                self._add(entry)
            except ValueError as error:
                self.unreadable += 1
                log.error(  # noqa: TRY400 - no bug of ours
                    "an entry of the deny list is passed over", index=index, error=str(error)[:200]
                )
        self.count = len(entries) - self.unreadable

    def _add(self, entry: Any) -> None:
        if not isinstance(entry, dict):
            raise Malformed("no JSON object")
        subject, token_id = entry.get("sub"), entry.get("jti")
        if (subject is None) == (token_id is None):
            raise Malformed("it needs either sub or jti")
        made = Entry(_moment(entry, "until"), _moment(entry, "issued_before"))
        if token_id is not None:
            self._by_token[_name(token_id, MAX_TOKEN_ID)].append(made)
        else:
            self._by_subject[_name(subject, MAX_SUBJECT)].append(made)

    def covers(self, principal: Principal, now: float) -> bool:
        """Whether a caller is cut off."""
        named = self._by_subject.get(principal.sub, [])
        if principal.token_id is not None:
            named = [*named, *self._by_token.get(principal.token_id, [])]
        return any(entry.covers(principal, now) for entry in named)


def _name(value: object, longest: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise Malformed(f"sub or jti must be 1 to {longest} characters")
    return value


def _moment(entry: dict[str, Any], name: str) -> float:
    value = entry.get(name)
    if value is None:
        return math.inf
    if not isinstance(value, str) or "T" not in value:
        raise Malformed(f"{name} must be a time such as 2026-11-28T09:00:00Z")
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise Malformed(f"{name} needs a time zone, e.g. Z")
    return moment.timestamp()


class DenyListFollower:
    """Polls the list every ``every_s`` seconds; the last good one counts while it is unavailable."""

    def __init__(
        self,
        url: str,
        *,
        every_s: float,
        timeout_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Follow the list at ``url``. Nothing is fetched yet."""
        self._remote = Remote(url, DenyList, max_bytes=MAX_BYTES, timeout_s=timeout_s)
        self._every_s = every_s
        self._clock = clock
        self._list: DenyList | None = None
        self._known = asyncio.Event()
        self._confirmed_at = time.monotonic()
        self._following = BackgroundTask("deny list", self._follow, every_s=every_s)

    async def start(self) -> None:
        """Poll the list in the background from now on."""
        await self._begin()

    @property
    def age_s(self) -> float:
        """Seconds since the list was last confirmed, or since there is this object."""
        return time.monotonic() - self._confirmed_at

    @property
    def entries(self) -> int:
        """How many entries of the list count."""
        return 0 if self._list is None else self._list.count

    @property
    def unreadable(self) -> int:
        """How many entries of the list are passed over."""
        return 0 if self._list is None else self._list.unreadable

    async def stop(self) -> None:
        """Stop polling; the last list stays in use."""
        await self._following.stop()

    async def known(self) -> bool:
        """Whether the list has been read; waits briefly for the first read."""
        if not self._known.is_set():
            await self._begin()
            try:
                async with asyncio.timeout(WAIT_S):
                    await self._known.wait()
            except TimeoutError:
                return False
        return True

    def covers(self, principal: Principal) -> bool:
        """Whether a caller is cut off, as far as is known."""
        return self._list is not None and self._list.covers(principal, self._clock())

    async def _begin(self) -> None:
        if not self._following.started:
            await self._following.start()

    async def _follow(self) -> float:
        await self._fetch()
        every_s = self._every_s if self._list is not None else min(FIRST_EVERY_S, self._every_s)
        return every_s * random.uniform(0.8, 1)  # noqa: S311 - replicas spread out

    async def _fetch(self) -> None:
        began_at = time.monotonic()
        try:
            found = await self._remote.fetch()
        # Whatever it is: polling must not end.
        except Exception as error:
            FETCHES.labels("failed").inc()
            log.warning(
                "the deny list cannot be fetched",
                error=str(error),
                known=self._list is not None,
                exc_info=not isinstance(error, Unavailable),
            )
            return
        FETCHES.labels("ok").inc()
        self._confirmed_at = began_at
        if found is not None:
            self._list = found
            log.info("the deny list changed", entries=found.count, unreadable=found.unreadable)
        self._known.set()


def tell(followers: Sequence[DenyListFollower]) -> None:
    """Let the metrics tell the age of the oldest list, and the entries of all.

    Set once for all of them: a process has one gauge, and the last follower would speak for the others.
    """
    AGE.set_function(lambda: max((each.age_s for each in followers), default=0.0))
    ENTRIES.labels("in force").set_function(lambda: sum(each.entries for each in followers))
    ENTRIES.labels("unreadable").set_function(lambda: sum(each.unreadable for each in followers))
