"""Runs jobs, a few seconds of a queue at a time, and resumes where a dead process left off."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from functools import partial
from uuid import UUID

import structlog
from aio_pika.exceptions import AMQPError, DeliveryError

from laundry_dead_letters import actions
from laundry_dead_letters.actions import Bounds, Tally
from laundry_dead_letters.broker import Broker, connected
from laundry_dead_letters.dead_letter import OperatorAction, Selection
from laundry_dead_letters.errors import BrokerAway, DeadLetterError
from laundry_service.background.task import BackgroundTask
from operations.jobs import Job, first_of_each_queue
from operations.repository import Store
from operations.service.letters import LetterReader, summary_of

LOOK_EVERY_S = 1.0
WAIT_S = 10.0
# A letter held by another reader comes back in a moment.
LOOKS_FOR_MISSING = 3

log = structlog.get_logger(__name__)


class JobRunner:
    """A part of the app; each replica has one, and a queue's lock says whose turn it is."""

    def __init__(
        self, amqp_url: str, store: Store, letters: LetterReader, *, scan: int, step_s: float
    ) -> None:
        self._urls = [amqp_url]
        self._store = store
        self._letters = letters
        self._scan = scan
        self._step_s = step_s
        self._jobs = BackgroundTask(
            "jobs",
            self._begin_jobs,
            every_s=LOOK_EVERY_S,
            waiting="cannot look for jobs",
            failed="looking for jobs failed",
        )
        self._running: dict[UUID, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Start looking for jobs."""
        await self._jobs.start()

    async def stop(self) -> None:
        """Stop; held letters go back, and jobs continue when this or another replica next looks."""
        await self._jobs.stop()
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def wake(self) -> None:
        """Look for jobs now, without waiting for the next poll."""
        self._jobs.wake()

    async def _begin_jobs(self) -> None:
        for job in first_of_each_queue(await self._store.open_jobs()):
            if job.id not in self._running:
                task = asyncio.create_task(self._carry_out(job), name=f"job-{job.id}")
                self._running[job.id] = task
                task.add_done_callback(partial(self._forget, job.id))

    def _forget(self, id_: UUID, _: asyncio.Task[None]) -> None:
        self._running.pop(id_, None)

    async def _carry_out(self, job: Job) -> None:
        try:
            await self._steps(job)
        except DeliveryError:
            await self._end(job, "failed", "The queue did not take a letter back: it is full or not bound.")
        except (BrokerAway, AMQPError, OSError, TimeoutError) as error:
            log.warning("a job waits", job=str(job.id), error=f"{type(error).__name__}: {error}")
            with contextlib.suppress(OSError, TimeoutError):
                await self._store.note(job.id, "The broker or the database is away; it goes on by itself.")
            await asyncio.sleep(LOOK_EVERY_S)
        except DeadLetterError as error:
            await self._end(job, "failed", str(error))
        except Exception as error:
            log.exception("a job failed", job=str(job.id))
            await self._end(job, "failed", f"{type(error).__name__}: {error}"[:500])

    async def _steps(self, job: Job) -> None:
        empty_handed = 0
        while True:
            began = time.monotonic()
            async with self._store.holding(job.queue, wait_s=WAIT_S) as got:
                if not got:
                    continue
                may_run, targets = await self._store.begin(job.id)
                if not may_run:
                    return
                # Who resumed it meanwhile answers for what is done from here on.
                job = await self._store.job(job.id) or job
                async with connected(self._urls) as broker:
                    if targets is None:
                        targets = await self._choose(job, broker)
                    here = await self._step(job, targets, broker)
            self._letters.forget(job.queue)
            empty_handed = 0 if here else empty_handed + 1
            now = await self._store.job(job.id)
            if now is None or now.state != "running":
                return
            if now.done >= len(targets) or empty_handed >= LOOKS_FOR_MISSING:
                await self._end(job, "succeeded")
                return
            pause_s = began + here / job.rate - time.monotonic() if here else LOOK_EVERY_S
            await asyncio.sleep(max(0.02, pause_s))

    async def _choose(self, job: Job, broker: Broker) -> list[str]:
        found: list[str] = []
        await actions.look(
            broker,
            job.queue,
            Selection(job.reason, frozenset(job.ids)),
            Bounds(self._scan, job.at_most),
            Tally(),
            handle=lambda letter: found.append(summary_of(letter).fingerprint),
        )
        await self._store.set_targets(job.id, found)
        return found

    async def _step(self, job: Job, targets: Sequence[str], broker: Broker) -> int:
        until = time.monotonic() + self._step_s
        tally = Tally()
        treat = actions.redrive if job.action == "redrive" else actions.remove
        await treat(
            broker,
            job.queue,
            Selection(only=frozenset(targets)),
            Bounds(self._scan),
            tally,
            act=OperatorAction(job.action, job.by, job.why, run=str(job.id), via="api"),
            audit=await self._store.audit(),
            rate=job.rate,
            stop=lambda: bool(tally.done) and time.monotonic() > until,
        )
        return tally.done

    async def _end(self, job: Job, state: str, error: str | None = None) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            await self._store.end(job.id, state, error)
        log.info("a job ended", job=str(job.id), state=state, error=error)
