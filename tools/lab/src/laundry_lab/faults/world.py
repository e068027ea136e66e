"""The running system as a fault sees it: processes by name, brokers, servers, and the load."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import psutil

from laundry.stack import report, state
from laundry_catalogue import copies_of
from laundry_lab.bench.stage import Stage
from laundry_lab.faults.load import Load
from laundry_lab.faults.tools import Tool
from laundry_servers.errors import LaundryError

POLL_S = 0.05
FLAP_S = 0.5
HEALTHY_S = 90.0
CONSUMERS = ("ai-consumer-1", "ai-consumer-2", "ai-consumer-3")


class NotHere(Exception):
    """This fault cannot be injected on this machine; the message says what is missing."""


@dataclass(frozen=True)
class Observation:
    """One thing that must be seen while or after a fault."""

    text: str
    holds: bool


@dataclass(frozen=True)
class Fault:
    """A fault with the behaviour that is correct.

    Attributes:
        correct: what a person should see; shown in the table.
        make: does it and undoes it; returns what was observed.
        minimum_nodes: brokers that it needs.
        soak: whether it may be drawn in a soak.
        encrypted: whether it can be made only where the broker speaks TLS.
        kills: whether messages that it publishes itself are to die; nobody else's may, ever.
        tools: programs that it needs.
    """

    name: str
    family: str
    correct: str
    make: Callable[["World"], Awaitable[list[Observation]]]
    minimum_nodes: int = 1
    soak: bool = True
    encrypted: bool = False
    kills: bool = False
    tools: tuple[Tool, ...] = ()


@dataclass
class World:
    """The system under test."""

    stage: Stage
    load: Load
    marks: list[tuple[float, float, str]] = field(default_factory=list)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids as of now: a process that was killed has another one soon."""
        found: dict[str, int] = state.running_stack(self.stage.paths)["pids"]
        return found

    @property
    def brokers(self) -> list[str]:
        """Names of the broker processes, also of one that is away right now."""
        return sorted(name for name in self.stage.document["pids"] if name.startswith("rabbitmq-"))

    def pid(self, name: str) -> int:
        """Find a process as of now.

        Raises:
            LaundryError: it does not run.
        """
        found = self.pids.get(name)
        if found is None:
            raise LaundryError(f"{name} does not run")
        return found

    def send(self, number: signal.Signals, *names: str) -> list[int]:
        """Send a signal to processes by name, and to those that share a port with one; returns their ids."""
        pids, sent = self.pids, []
        for name in (copy for each in names for copy in copies_of(each)):
            pid = pids.get(name)
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
                    sent.append(pid)
        self.load.ledger.said(f"{number.name} {' '.join(names)}")
        return sent

    def kill(self, *names: str) -> list[int]:
        """Kill processes with SIGKILL, and return their ids."""
        return self.send(signal.SIGKILL, *names)

    async def hold_down(self, names: Sequence[str], seconds: float) -> None:
        """Keep processes dead for a while, killing every restart."""
        until = time.monotonic() + seconds
        killed: dict[str, int] = {}
        while time.monotonic() < until:
            for name, pid in self.pids.items():
                if name in names and killed.get(name) != pid:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                    killed[name] = pid
            await asyncio.sleep(POLL_S)
        self.load.ledger.said(f"held down {' '.join(names)} for {seconds:g} s")

    @asynccontextmanager
    async def stopped(self, *names: str) -> AsyncIterator[None]:
        """Pause processes and their children (SIGSTOP); they continue after the block."""
        held = [p for name in names for p in self.family(name)]
        self.load.ledger.said(f"SIGSTOP {' '.join(names)}")
        try:
            _signal_all(held, signal.SIGSTOP)
            yield
        finally:
            _signal_all(held, signal.SIGCONT)

    async def slow_down(self, name: str, seconds: float, *, runs: float = 0.02, hangs: float = 0.18) -> None:
        """Let a process run only a part of the time, so that everything it does takes long."""
        until = time.monotonic() + seconds
        self.load.ledger.said(f"slowing {name} to {runs / (runs + hangs):.0%} for {seconds:g} s")
        while time.monotonic() < until:
            held = self.family(name)
            try:
                _signal_all(held, signal.SIGSTOP)
                await asyncio.sleep(hangs)
            finally:
                _signal_all(held, signal.SIGCONT)
            await asyncio.sleep(runs)

    def family(self, name: str) -> list[psutil.Process]:
        """Return a process and all below it."""
        with suppress(psutil.Error, KeyError):
            root = psutil.Process(self.pids[name])
            return [root, *root.children(recursive=True)]
        return []

    async def healthy(self, within_s: float = HEALTHY_S) -> float:
        """Wait until every process is healthy and every broker sees all others; returns the seconds it took.

        Raises:
            LaundryError: somebody did not come back.
        """
        began = time.monotonic()
        unwell: list[str] = []
        while time.monotonic() - began < within_s:
            found = await asyncio.to_thread(report.look, self.stage.paths)
            unwell = [each.name for each in found.processes if each.health != "ok"]
            if found.running and not unwell and await self._whole():
                return time.monotonic() - began
            await asyncio.sleep(0.25)
        raise LaundryError(f"not well again within {within_s:.0f} s: {', '.join(unwell) or 'the cluster'}")

    async def _whole(self) -> bool:
        nodes = len(self.brokers)
        if not nodes:
            return True
        try:
            running = await self.management("/api/nodes")
        except (httpx.HTTPError, OSError):
            return False
        return sum(bool(node.get("running")) for node in running) == nodes

    async def management(self, path: str, *, node: int = 0) -> Any:
        """Ask a broker's management API."""
        async with httpx.AsyncClient(timeout=10, verify=self.stage.tls or True) as client:
            answer = await client.get(self.stage.document["management_urls"][node] + path)
            answer.raise_for_status()
            return answer.json()

    async def metric(self, service: str, name: str) -> float:
        """Return the sum of a metric's samples at a service."""
        async with httpx.AsyncClient(timeout=30) as client:
            answers = [await client.get(url) for url in self.stage.metrics_urls(service)]
        lines = [line for answer in answers for line in answer.text.splitlines()]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    async def cut(self, user: str, *, times: int, within_s: float) -> int:
        """Close the connections that a service consumes with, again and again as they come back.

        Returns:
            how many were closed.
        """
        closed, until = 0, time.monotonic() + within_s
        while closed < times and time.monotonic() < until:
            with suppress(httpx.HTTPError, OSError):
                async with httpx.AsyncClient(
                    base_url=self.stage.document["management_urls"][0],
                    timeout=10,
                    verify=self.stage.tls or True,
                ) as client:
                    answer = await client.get("/api/connections?columns=name,client_properties")
                    for each in answer.raise_for_status().json():
                        said = (each.get("client_properties") or {}).get("connection_name")
                        if said == f"{user}/consume":
                            gone = await client.delete(f"/api/connections/{quote(each['name'], safe='')}")
                            closed += gone.status_code == httpx.codes.NO_CONTENT
            await asyncio.sleep(FLAP_S)
        self.load.ledger.said(f"closed {closed} connections of {user}")
        return closed

    async def database(self, service: str, query: str, *arguments: Any) -> Any:
        """Ask a service's own database for one value."""
        connection = await asyncpg.connect(self.stage.document["postgres_urls"][service], timeout=10)
        try:
            return await connection.fetchval(query, *arguments, timeout=30)
        finally:
            await connection.close(timeout=2)

    async def execute(self, service: str, statement: str) -> None:
        """Change a service's own database."""
        connection = await asyncpg.connect(self.stage.document["postgres_urls"][service], timeout=10)
        try:
            await connection.execute(statement, timeout=30)
        finally:
            await connection.close(timeout=2)

    async def rabbitmqctl(self, broker: str, *arguments: str) -> str:
        """Run ``rabbitmqctl`` inside a broker's own root file system.

        Raises:
            NotHere: this user may not enter it.
        """
        if os.geteuid() != 0:
            raise NotHere("entering the broker's root file system needs root")
        pid = self.pid(broker)
        environment = environment_of(pid)
        kept = {
            key: environment[key]
            for key in (
                "HOME",
                "PATH",
                "LANG",
                "RABBITMQ_NODENAME",
                "RABBITMQ_CTL_ERL_ARGS",
                "ERL_EPMD_PORT",
                "ERL_EPMD_ADDRESS",
            )
            if key in environment
        }
        command = ["chroot", f"/proc/{pid}/root", "/usr/bin/env", "-i"]
        command += [f"{key}={value}" for key, value in kept.items()]
        command += ["RABBITMQ_CONF_ENV_FILE=/dev/null", "/usr/lib/rabbitmq/bin/rabbitmqctl", *arguments]
        ran = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=60, check=False
        )
        if ran.returncode:
            raise NotHere(f"rabbitmqctl {arguments[0]}: {(ran.stderr or ran.stdout).strip()[-200:]}")
        self.load.ledger.said(f"rabbitmqctl {' '.join(arguments)} on {broker}")
        return ran.stdout

    async def leader(self, queue: str) -> str:
        """Name the broker process that leads a quorum queue."""
        found = await self.management(f"/api/queues/laundry/{queue}")
        number = str(found["leader"]).removeprefix("rmq").split("@")[0]
        return f"rabbitmq-{number}"

    async def progress(self, within_s: float, *, more: int = 5) -> float | None:
        """Wait until more photos of the load have been read; returns the seconds it took, None if never."""
        began, first = time.monotonic(), None
        while time.monotonic() - began < within_s:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                read = await self.load.count_read()
                first = read if first is None else first
                if read >= first + more:
                    return time.monotonic() - began
            await asyncio.sleep(0.1)
        return None

    async def reads_on(self, within_s: float, *, after: str = "") -> Observation:
        """Wait until more photos of the load have been read, and say how long it took."""
        took = await self.progress(within_s)
        when = f"at most {within_s:g}" if took is None else f"{took:.1f}"
        return Observation(f"reading went on {when} s after{after}", took is not None)

    async def accepts(self, within_s: float, *, more: int = 3) -> bool:
        """Whether further uploads get their 201."""
        until, first = time.monotonic() + within_s, len(self.load.ledger.accepted_ids)
        while time.monotonic() < until:
            if len(self.load.ledger.accepted_ids) >= first + more:
                return True
            await asyncio.sleep(0.1)
        return False

    async def eventually(
        self, condition: Callable[[], Awaitable[Any]], within_s: float, *, every_s: float = 0.1
    ) -> bool:
        """Whether something becomes true in time; what cannot be asked is not true yet."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            with suppress(httpx.HTTPError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if await condition():
                    return True
            await asyncio.sleep(every_s)
        return False


def environment_of(pid: int) -> Mapping[str, str]:
    """Return a process's environment."""
    parts = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    pairs = (part.decode(errors="replace").partition("=") for part in parts if b"=" in part)
    return {key: value for key, _, value in pairs}


def _signal_all(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)
