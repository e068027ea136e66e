"""A periodic background job; failures are logged and the job runs again."""

import time
from collections.abc import Awaitable, Callable

from prometheus_client import Histogram

from laundry_service.background.task import OUTAGES, BackgroundTask

SECONDS = Histogram(
    "laundry_periodic_seconds",
    "How long a run of a periodic task took",
    ["task"],
    buckets=(0.01, 0.1, 1, 10, 60, 600),
)


class Periodic(BackgroundTask):
    """Calls ``job`` every ``every_s`` seconds; every replica does.

    The first run is immediate, or after one interval with ``at_once=False``. A job may be cancelled at any
    await: what it has not committed is rolled back.
    """

    def __init__(
        self,
        name: str,
        job: Callable[[], Awaitable[object]],
        *,
        every_s: float,
        at_once: bool = True,
        expected: tuple[type[Exception], ...] = (),
    ) -> None:
        """Take the job; what it returns does not matter.

        Args:
            expected: what it raises while a server is down, beside ``OUTAGES`` and the database's errors.
        """

        async def turn() -> None:
            began = time.monotonic()
            await job()
            SECONDS.labels(name).observe(time.monotonic() - began)

        super().__init__(
            name,
            turn,
            every_s=every_s,
            at_once=at_once,
            expected=(*OUTAGES, *expected),
            waiting="a periodic job waits for a server",
            failed="a periodic job failed",
        )
