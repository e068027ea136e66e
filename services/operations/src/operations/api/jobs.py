"""HTTP: redrive and discard as jobs that can be previewed, watched, stopped and resumed."""

from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request, Response

from laundry_dead_letters.errors import BrokerAway
from laundry_service.audit.acts import Act, Actor
from laundry_service.audit.http import Reason
from laundry_service.auth.principal import Principal
from laundry_service.http.problems import Problem
from laundry_service.streams.response import EVENT_STREAM, EventStream
from laundry_service.streams.subscription import Subscription
from operations.api.permissions import Operator
from operations.api.problems import away, main_queue
from operations.jobs import Job, NewJob
from operations.repository import Store
from operations.schemas import ActIn, JobOut, JobPage
from operations.service.jobs import JobRunner
from operations.service.letters import LetterReader, QueueBusy
from operations.service.planning import plan
from operations.stream import GREETING, JobChanges, tell, topic_of


def acts_router(store: Store, letters: LetterReader, runner: JobRunner) -> APIRouter:
    """Make ``POST /dead-letters/redrive`` and ``/discard``."""
    router = APIRouter(prefix="/dead-letters", tags=["dead letters"])

    async def act(action: str, asked: ActIn, operator: Principal, response: Response) -> JobOut:
        queue = main_queue(asked.queue)
        why = asked.why.strip()
        if asked.dry_run:
            wanted = _new(uuid4(), action, queue, asked, operator)
            try:
                job = await plan(wanted, letters)
            except (BrokerAway, QueueBusy) as error:
                raise away(error) from error
            await store.add(job, state="planned")
            return JobOut.of(await _job(store, job.id))
        if not why:
            raise Problem(422, "why-missing", "Say why: it is kept with each letter.")
        if asked.plan is not None:
            id_ = asked.plan
            released = await store.release_plan(
                id_,
                action=action,
                queue=queue,
                why=why,
                by=operator.sub,
                rate=asked.rate,
                act=_act("begin", id_, operator, why, action=action, queue=queue),
            )
            if not released:
                raise Problem(
                    409, "plan-unusable", "That dry run was used or is over an hour old. Look again."
                )
        elif action == "discard":
            raise Problem(409, "plan-missing", "Make a dry run first and send its id as plan: only what was "
                          "seen is discarded.")  # fmt: skip
        else:
            id_ = uuid4()
            begun = _act("begin", id_, operator, why, action=action, queue=queue)
            await store.add(_new(id_, action, queue, asked, operator), state="queued", act=begun)
        runner.wake()
        response.status_code = 202
        response.headers["Location"] = f"/jobs/{id_}"
        return JobOut.of(await _job(store, id_))

    @router.post("/redrive", responses={202: {"model": JobOut, "description": "It is under way"}})
    async def redrive(asked: ActIn, operator: Operator, response: Response) -> JobOut:
        """Send letters back to the queue that they died in; shows what would happen unless told otherwise."""
        return await act("redrive", asked, operator, response)

    @router.post("/discard", responses={202: {"model": JobOut, "description": "It is under way"}})
    async def discard(asked: ActIn, operator: Operator, response: Response) -> JobOut:
        """Remove letters for good, exactly those of a dry run."""
        return await act("discard", asked, operator, response)

    return router


def jobs_router(store: Store, runner: JobRunner, changes: JobChanges) -> APIRouter:
    """Make the endpoints below ``/jobs``."""
    router = APIRouter(prefix="/jobs", tags=["jobs"])

    @router.get("")
    async def list_jobs(_: Operator, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> JobPage:
        """Read the newest jobs."""
        return JobPage(items=[JobOut.of(job) for job in await store.newest_jobs(limit)])

    @router.get("/{id}")
    async def get_job(_: Operator, id: UUID) -> JobOut:  # noqa: A002 - its name in the path
        """Read how far a job is."""
        return JobOut.of(await _job(store, id))

    @router.get("/{id}/stream", response_class=EventStream, responses=EVENT_STREAM)
    async def stream(
        request: Request,
        operator: Operator,
        id: UUID,  # noqa: A002 - its name in the path
    ) -> EventStream:
        """Follow a job until it ends: `job` with its whole state at once and at each change."""
        await _job(store, id)

        async def opening(subscription: Subscription) -> None:
            tell(subscription, JobOut.of(await _job(store, id)))

        return EventStream(
            request.app.state.streams,
            changes,
            operator,
            topics=topic_of(id),
            greeting=GREETING,
            opening=opening,
        )

    @router.post("/{id}/cancel")
    async def cancel(
        operator: Operator,
        id: UUID,  # noqa: A002 - its name in the path
        reason: Reason = None,
    ) -> JobOut:
        """Stop a job within seconds; letters not yet handled stay where they are."""
        if not await store.end(id, "cancelled", act=_act("cancel", id, operator, reason)):
            raise Problem(409, "job-finished", f"That job is {(await _job(store, id)).state} already.")
        return JobOut.of(await _job(store, id))

    @router.post("/{id}/resume")
    async def resume(
        operator: Operator,
        id: UUID,  # noqa: A002 - its name in the path
        reason: Reason = None,
    ) -> JobOut:
        """Resume a failed or cancelled job, in the caller's name from now on."""
        resumed = _act("resume", id, operator, reason)
        if not await store.again(id, by=operator.sub, why=reason, act=resumed):
            raise Problem(409, "job-not-stopped", f"That job is {(await _job(store, id)).state}.")
        runner.wake()
        return JobOut.of(await _job(store, id))

    return router


def _act(verb: str, id_: UUID, operator: Principal, reason: str | None, **details: str) -> Act:
    what = {"of": details["action"], "queue": details["queue"]} if details else {}
    return Act(f"job.{verb}", str(id_), Actor.of(operator), reason, details=what)


async def _job(store: Store, id_: UUID) -> Job:
    job = await store.job(id_)
    if job is None:
        raise Problem(404, "job-unknown", "There is no such job.")
    return job


def _new(id_: UUID, action: str, queue: str, asked: ActIn, operator: Principal) -> NewJob:
    return NewJob(
        id=id_,
        action=action,
        queue=queue,
        reason=asked.reason,
        ids=tuple(asked.ids),
        at_most=asked.limit,
        rate=asked.rate,
        why=asked.why.strip(),
        by=operator.sub,
    )
