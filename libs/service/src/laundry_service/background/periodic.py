"""A periodic background job; failures are logged and the job runs again."""

from collections.abc import Awaitable, Callable

from laundry_service.background.task import BackgroundTask


class Periodic(BackgroundTask):
    """Calls ``job`` every ``every_s`` seconds; every replica does.

    The first run is immediate, or after one interval with ``at_once=False``. A job may be cancelled at any
    await: what it has not committed is rolled back.
    """

    def __init__(
        self, name: str, job: Callable[[], Awaitable[object]], *, every_s: float, at_once: bool = True
    ) -> None:
        """Take the job; what it returns does not matter."""

        async def turn() -> None:
            await job()

        super().__init__(
            name,
            turn,
            every_s=every_s,
            at_once=at_once,
            expected=(Exception,),
            waiting="a periodic job failed",
        )
