"""What one photo, one fault and one sample cost: processor time by process, bytes and flushes to the disk."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psutil

from laundry_lab.bench import alerts
from laundry_lab.bench.figures import Figure
from laundry_lab.bench.pictures import Pictures, multipart
from laundry_lab.bench.scale.databases import administered
from laundry_lab.bench.stage import NotMeasured, Stage

PHOTOS, FAULTS, BATCHES, BATCH = 100, 20, 20, 100
EVERY_S = 0.1
REST_S = 10.0
SETTLED_WITHIN_S = 60.0
PARTS = {
    "helper": "helper",
    "readers": "ai-consumer",
    "monitoring": "monitoring",
    "notification": "notification",
    "history and audit": "operations",
    "broker": "rabbitmq",
    "database": "postgres",
    "object store": "s3",
}
"""Processes by how their names begin."""

FLUSHED = """
SELECT (SELECT wal_bytes FROM pg_stat_wal)::float AS bytes,
    (SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal')::float AS flushes
"""


@dataclass(frozen=True)
class Spent:
    """What was used until a moment: processor seconds and bytes written by part, and the database's log."""

    at: float
    processor_s: Mapping[str, float]
    written: Mapping[str, float]
    log_bytes: float
    flushes: float

    def since(self, before: "Spent") -> "Spent":
        """Return what was used between two moments; ``at`` is the time between them."""
        return Spent(
            self.at - before.at,
            {part: self.processor_s[part] - before.processor_s[part] for part in PARTS},
            {part: self.written[part] - before.written[part] for part in PARTS},
            self.log_bytes - before.log_bytes,
            self.flushes - before.flushes,
        )


async def measure(stage: Stage) -> list[Figure]:
    """Measure a rest first; what it uses a second is taken off the rest."""
    advance = stage.say("scale: costs", 4)
    before = await _spent(stage)
    await asyncio.sleep(REST_S)
    rest = (await _spent(stage)).since(before)
    # A machine is registered once, not with every batch of its samples.
    await _samples(stage, each=1)
    advance(1)
    found = []
    for title, number, act in (
        ("a photo of 500 KB, sent and read", PHOTOS, _photos),
        ("a fault told to a phone, which is registered for it", FAULTS, _faults),
        ("a sample of a machine, in batches of 100", BATCHES * BATCH, _samples),
    ):
        before = await _spent(stage)
        await act(stage)
        found += _figures(title, number, (await _spent(stage)).since(before), rest)
        advance(1)
    return found


def _figures(title: str, number: int, used: Spent, rest: Spent) -> list[Figure]:
    def of_one(value: float, at_rest: float) -> float:
        return max(0.0, value - at_rest * used.at / rest.at) / number

    group = f"Cost of {title}"
    processor = {
        part: 1000 * of_one(used.processor_s[part], rest.processor_s[part]) for part in used.processor_s
    }
    note = f"{number:,} in {used.at:.0f} s; less what the same time at rest takes"
    return [
        *(Figure(group, f"{part}: processor time", ms, "ms") for part, ms in processor.items() if ms >= 0.01),
        Figure(group, "all of these: processor time", sum(processor.values()), "ms", note=note),
        Figure(group, "database: log", of_one(used.log_bytes, rest.log_bytes) / 1000, "KB"),
        Figure(group, "database: flushes of the log", of_one(used.flushes, rest.flushes), ""),
        *(
            Figure(group, f"{part}: written", of_one(used.written[part], rest.written[part]) / 1000, "KB")
            for part in ("broker", "object store")
        ),
    ]


async def _spent(stage: Stage) -> Spent:
    # Backends report what they did when they come to rest.
    await asyncio.sleep(2)
    async with administered(stage, "helper") as connection:
        log_bytes, flushes = (await connection.fetch(FLUSHED))[0]
    written = {part: _written(stage, begins) for part, begins in PARTS.items()}
    processor = {part: stage.processor_s(begins) for part, begins in PARTS.items()}
    return Spent(time.monotonic(), processor, written, log_bytes, flushes)


def _written(stage: Stage, begins: str) -> float:
    total = 0.0
    for name, pid in stage.document["pids"].items():
        if name.startswith(begins):
            with suppress(psutil.Error):
                root = psutil.Process(pid)
                for process in [root, *root.children(recursive=True)]:
                    with suppress(psutil.Error):
                        total += process.io_counters().write_bytes
    return total


async def _photos(stage: Stage) -> None:
    pictures = await asyncio.to_thread(Pictures)
    branch = stage.branch("cost")
    headers = stage.headers("helper", branch)
    async with stage.client("helper") as client:
        for _ in range(PHOTOS):
            body, content_type = multipart(pictures.photo(), branch)
            answer = await client.post(
                "/tasks", content=body, headers={**headers, "Content-Type": content_type}
            )
            if answer.status_code != 201:
                raise NotMeasured(f"scale, costs: {answer.status_code} {answer.text[:150]}")
            await asyncio.sleep(EVERY_S)
    query = "SELECT count(*) FROM tasks WHERE branch_id = $1 AND status = 'submitted'"
    async with asyncio.timeout(SETTLED_WITHIN_S), administered(stage, "helper") as connection:
        while await connection.fetchval(query, branch):  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(EVERY_S)


async def _faults(stage: Stage) -> None:
    await alerts.times(stage, "faults, one after another", faults=FAULTS)


async def _samples(stage: Stage, each: int = BATCH) -> None:
    branch = stage.branch("cost")
    began = datetime.now(UTC) - timedelta(seconds=each)
    async with stage.client("monitoring") as client:
        for number in range(BATCHES):
            machine = f"cost-{stage.run}-{number}"
            samples = [
                {
                    "equipment_id": machine,
                    "branch_id": branch,
                    "kind": "washer",
                    "recorded_at": (began + timedelta(seconds=second)).isoformat(),
                    "metrics": {"temperature_celsius": 60.0, "vibration_mm_s": 3.0},
                }
                for second in range(each)
            ]
            headers = stage.headers("device", branch, subject=machine)
            answer = await client.post("/telemetry", json={"samples": samples}, headers=headers)
            if answer.status_code != 202:
                raise NotMeasured(f"scale, costs: {answer.status_code} {answer.text[:150]}")
            await asyncio.sleep(EVERY_S)
