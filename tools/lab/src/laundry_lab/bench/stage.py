"""The context of every measurement: the stack, people with tokens, a progress bar."""

import asyncio
import os
import secrets
import signal
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil

from laundry.management import queue_totals
from laundry.paths import StackPaths
from laundry.stack import state
from laundry_catalogue import copies_of
from laundry_events.broker_plan import Target
from laundry_lab.bench.figures import Figure
from laundry_servers.identity import LocalIdentity

TOKEN_S = 3600

Advance = Callable[[float], None]
Say = Callable[[str, float], Advance]


@dataclass
class Stage:
    """The running stack as the measurements see it.

    Attributes:
        say: begins a progress bar with a title and a total; returns how to move it on.
        scale: how much of each measurement is done; 1 is the whole.
    """

    paths: StackPaths
    document: dict[str, Any]
    identity: LocalIdentity
    say: Say
    broker: Target
    scale: float = 1.0
    run: str = field(default_factory=lambda: secrets.token_hex(4))

    def headers(
        self, role: str, *branches: str, subject: str | None = None, seconds: int = 0
    ) -> dict[str, str]:
        """Return the headers of a person of this run, good for an hour or for more ``seconds``."""
        subject = subject or f"bench-{role}-{self.run}"
        token = self.identity.mint(
            role=role, branches=branches, subject=subject, seconds=max(TOKEN_S, seconds)
        )
        return {"Authorization": f"Bearer {token}"}

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What connects to the broker as its administrator; None if it is not encrypted."""
        files = state.tls_of(self.document)
        return None if files is None else files.context(Path(self.document["tls"]["certificate"]).stem)

    def branch(self, name: str) -> str:
        """Return a branch name unique to this run."""
        return f"bench-{name}-{self.run}"

    def many(self, number: int, *, least: int = 1, grows: bool = True) -> int:
        """Scale a number of repetitions; what cannot be more than the whole does not grow beyond it."""
        return max(least, round(number * (self.scale if grows else min(1.0, self.scale))))

    def patience_s(self, seconds: float) -> float:
        """Return how long to wait for what may take ``seconds`` of the whole; for more of it longer."""
        return seconds * max(1.0, self.scale)

    @asynccontextmanager
    async def client(self, service: str) -> AsyncIterator[httpx.AsyncClient]:
        """Open a client of a service."""
        async with client_of(self.document[f"{service}_url"]) as client:
            yield client

    def processor_s(self, *names: str) -> float:
        """Return the processor time that processes whose names begin so have used, with their children."""
        used = 0.0
        for name, pid in self.document["pids"].items():
            if name.startswith(names):
                with suppress(psutil.Error):
                    root = psutil.Process(pid)
                    for process in [root, *root.children(recursive=True)]:
                        times = process.cpu_times()
                        used += times.user + times.system
        return used

    def memory_mb(self, name: str) -> float:
        """Return the share of memory (PSS) of a process and of those that share its port, MB; 0 if gone."""
        used = 0.0
        for each in copies_of(name):
            with suppress(psutil.Error, KeyError):
                used += psutil.Process(self.document["pids"][each]).memory_full_info().pss / 1e6
        return used

    def metrics_urls(self, name: str) -> list[str]:
        """Return where the metrics of a process are, and of those that share its port."""
        urls: dict[str, str] = self.document["metrics_urls"]
        return [urls[each] for each in copies_of(name) if each in urls]

    async def waiting(self, queue: str) -> int:
        """Return how many messages a queue holds, ready or being worked on. Raises QueuesUnknown."""
        totals = await asyncio.to_thread(partial(queue_totals, self.broker, of=[queue]))
        return int(totals[queue]["messages"])

    async def until_empty(self, queue: str, *, within_s: float) -> bool:
        """Wait until a queue is empty; false if it is not in time."""
        deadline = time.monotonic() + within_s
        while await self.waiting(queue):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.25)
        return True


Measure = Callable[[Stage], Awaitable[list[Figure]]]


class NotMeasured(Exception):
    """A measurement could not be made; the others continue."""


@asynccontextmanager
async def client_of(url: str, *, connections: int = 64) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client that keeps its connections."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as client:
        yield client


@asynccontextmanager
async def suspended(pids: Iterable[int]) -> AsyncIterator[None]:
    """Stop processes by SIGSTOP, and continue them whatever happens."""
    stopped = list(pids)
    try:
        _signal(stopped, signal.SIGSTOP)
        yield
    finally:
        _signal(stopped, signal.SIGCONT)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        # One that ended is being started again, with another id.
        with suppress(ProcessLookupError):
            os.kill(pid, number)
