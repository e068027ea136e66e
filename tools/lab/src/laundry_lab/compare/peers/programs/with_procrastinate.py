"""procrastinate: the queue is a table of PostgreSQL; a task of its own frees the jobs of those who died."""

from procrastinate import App, JobContext, PsycopgConnector

from laundry_lab.compare.peers.programs.looped import Effects, run, send_orders
from laundry_lab.compare.peers.programs.orders import CALLERS, DATABASE_URL, IN_HAND

HEARTBEAT_S, STALLED_S = 1.0, 5.0

app = App(
    connector=PsycopgConnector(conninfo=DATABASE_URL, min_size=CALLERS, max_size=CALLERS),
    # By default a worker counts as dead after half a minute.
    worker_defaults={
        "concurrency": IN_HAND,
        "update_heartbeat_interval": HEARTBEAT_S,
        "stalled_worker_timeout": STALLED_S,
    },
)
effects = Effects()


@app.task(name="record")
async def record(number: int, due: float, padding: str) -> None:
    """Have the effect of a task."""
    await effects.record(number, due)


# Without it the jobs of a killed worker stay as they are for ever; its documents run it every ten minutes.
@app.periodic(cron="* * * * * */2")
@app.task(name="retry_stalled_jobs", queueing_lock="retry_stalled_jobs", pass_context=True)
async def retry_stalled_jobs(context: JobContext, timestamp: int) -> None:
    """Give the jobs of workers that died to those that live."""
    jobs = await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_S)
    for job in jobs:
        await app.job_manager.retry_job(job)


async def main() -> None:
    """Send what standard input tells."""

    async def defer(number: int, due: float, padding: str) -> None:
        await record.defer_async(number=number, due=due, padding=padding)

    async with app.open_async():
        await send_orders(defer)


if __name__ == "__main__":
    run(main())
