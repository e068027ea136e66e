"""``/queues``: how full each queue is and what is wrong with it."""

import time
from datetime import UTC, datetime

from fastapi import APIRouter

from laundry_events.plan import Plan
from laundry_service.http.problems import Problem
from operations.api.permissions import Operator
from operations.api.problems import AGAIN
from operations.management import Management, ManagementAway
from operations.queue_health import Ages, Counts, warnings
from operations.schemas import QueueOut, QueuePage


def queues_router(management: Management, ages: Ages, plan: Plan) -> APIRouter:
    """Make the endpoint ``/queues``."""
    router = APIRouter(prefix="/queues", tags=["queues"])

    @router.get("")
    async def list_queues(_: Operator) -> QueuePage:
        """Read how full each queue is, how fast it moves, who consumes it, and what is wrong with it."""
        try:
            counts = await management.queues()
        except ManagementAway as error:
            raise Problem(
                503,
                "management-unavailable",
                f"The broker's management API gave no answer ({error}). Try again shortly.",
                headers=AGAIN,
            ) from error
        now = time.monotonic()
        for found in counts.values():
            ages.observe(found, now)
        return QueuePage(items=_queues(plan, counts, ages, now), as_of=datetime.now(UTC))

    return router


def _queues(plan: Plan, counts: dict[str, Counts], ages: Ages, now: float) -> list[QueueOut]:
    shown: list[QueueOut] = []
    for queue in plan.queues:
        main = counts.get(queue.name, Counts(queue.name, state="missing"))
        dead = counts.get(queue.dead) if queue.dead else None
        stream = queue.kind == "stream"
        age = None if stream else ages.oldest(main, now)
        shown.append(
            QueueOut(
                name=queue.name,
                kind=queue.kind,
                purpose=queue.purpose,
                ready=main.ready,
                unacked=main.unacked,
                publish_rate=main.publish_rate,
                deliver_rate=main.deliver_rate,
                consumers=main.consumers,
                oldest_age_s=age and round(age.seconds, 1),
                oldest_age_bound=age and age.bound,
                state=main.state,
                waiting_for_retry=sum(counts[name].messages for name, _ in queue.retries if name in counts),
                dead_letters=dead.messages if dead else 0,
                warnings=warnings(
                    main,
                    dead,
                    age=age,
                    max_length=queue.max_length,
                    max_bytes=queue.max_bytes,
                    dead_max_bytes=queue.dead_max_bytes,
                    stream=stream,
                    followed=not (stream and queue.every),
                ),
            )
        )
    return shown
