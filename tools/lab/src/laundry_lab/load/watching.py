"""Watches the system under load: what waits in its queues, and what its processes use."""

import asyncio
import os
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx
import psutil

from laundry.management import QueuesUnknown, queue_totals
from laundry.stack import state
from laundry_events.topology import VHOST
from laundry_lab.bench.stage import Stage

EVERY_S = 1.0
_REPLICA = re.compile(r"-\d+$")


@dataclass(frozen=True)
class Sample:
    """One moment of a run.

    Attributes:
        at: seconds since the beginning.
        backlog: messages in each queue, ready or being worked on.
        processor: share of all cores since the sample before, in %, by kind of process.
        memory_mb: each kind's share of memory (PSS).
    """

    at: float
    backlog: dict[str, int] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)
    memory_mb: dict[str, float] = field(default_factory=dict)


class Watch:
    """Samples a running stack."""

    def __init__(self, stage: Stage, queues: Collection[str], *, vhost: str = VHOST) -> None:
        """Watch some queues of a virtual host and all processes of the stack."""
        self.samples: list[Sample] = []
        self.also: dict[str, int] = {}
        """Further processes by name, such as the generator's."""
        self.stage = stage
        self.began = 0.0
        self._queues = queues
        self._vhost = vhost
        self._used: dict[int, float] = {}
        self._looked_at = 0.0

    @asynccontextmanager
    async def watching(self, began: float) -> AsyncIterator[None]:
        """Sample every second while the block runs; ``began`` is by the monotonic clock."""
        self.began = began
        looking = asyncio.create_task(self._look_on())
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _look_on(self) -> None:
        due = time.monotonic()
        while True:
            await asyncio.to_thread(self._sample)
            due = max(due + EVERY_S, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    def _sample(self) -> None:
        backlog: dict[str, int] = {}
        with suppress(httpx.HTTPError, OSError, QueuesUnknown):
            totals = queue_totals(self.stage.broker, self._vhost, of=self._queues)
            backlog = {name: int(totals[name]["messages"]) for name in self._queues}
        processor, memory = self._processes()
        self.samples.append(Sample(time.monotonic() - self.began, backlog, processor, memory))

    def _processes(self) -> tuple[dict[str, float], dict[str, float]]:
        used: defaultdict[str, float] = defaultdict(float)
        memory: defaultdict[str, float] = defaultdict(float)
        now = time.monotonic()
        pids = {**state.running_stack(self.stage.paths)["pids"], **self.also}
        seen: dict[int, float] = {}
        for name, pid in pids.items():
            kind = _REPLICA.sub("", name)
            with suppress(psutil.Error):
                root = psutil.Process(pid)
                for process in (root, *root.children(recursive=True)):
                    with suppress(psutil.Error):
                        times = process.cpu_times()
                        seen[process.pid] = times.user + times.system
                        used[kind] += seen[process.pid] - self._used.get(process.pid, seen[process.pid])
                        memory[kind] += process.memory_full_info().pss / 1e6
        span = (now - self._looked_at) * (os.cpu_count() or 1)
        first, self._used, self._looked_at = not self._used, seen, now
        share = {} if first else {name: round(100 * each / span, 2) for name, each in used.items()}
        return share, {name: round(each, 1) for name, each in memory.items()}
