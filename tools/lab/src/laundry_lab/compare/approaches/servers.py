"""Servers of the comparison's own: they are killed, and the running stack must not notice."""

import asyncio
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import psutil

from laundry_events.definitions import definitions
from laundry_events.topology import PLAN, VHOST
from laundry_lab.compare.approaches.design import Addresses, Design
from laundry_lab.compare.approaches.schema import make_tables
from laundry_servers import rootfs, vhosts
from laundry_servers.addresses import BrokerAddress
from laundry_servers.ports import free_port, is_open
from laundry_servers.postgres import Postgres, drop_database, ensure_database
from laundry_servers.process import Process, ProcessFailed, base_environment, start_all, stop_all
from laundry_servers.progress import Quiet
from laundry_servers.rabbitmq import RabbitMQ

START_S = 90.0
PAUSE_S = 0.2
READERS = "ai-consumer"


class Nats:
    """A NATS server with JetStream, which writes to the disk before it answers, as the others do."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.port, self._token = free_port(), secrets.token_hex(16)
        folder.mkdir(parents=True)
        config = folder / "nats.conf"
        config.touch(0o600)
        config.write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f"authorization {{ token: {self._token} }}\n"
            f'jetstream {{ store_dir: "{folder / "data"}", sync_interval: always }}\n'
        )
        self.process = Process(
            name="nats",
            command=[str(program), "--config", str(config)],
            environment=base_environment(),
            log_file=folder / "nats.log",
            ready=lambda: is_open(self.port),
            stop_seconds=5,
            port=self.port,
        )

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"nats://{self._token}@127.0.0.1:{self.port}"


class Servers:
    """The servers of one comparison; those that a design does not need are not started."""

    def __init__(self, folder: Path, packages: Path | None) -> None:
        self.folder = folder
        self.postgres = Postgres(folder / "postgres")
        self.packages = packages
        self._brokers: dict[str, list[Process]] = {}

    def broker_processes(self, design: Design) -> list[Process]:
        """The processes between producer and workers, the one to kill first; the database is none of them."""
        return self._brokers.get(design.broker or "", [])

    def broker_folder(self, design: Design) -> Path:
        """Where the broker keeps what it holds."""
        return self.folder / (design.broker or "none")

    def victim(self, design: Design) -> Process | None:
        """The process whose death is the broker's, or None where there is no broker."""
        if design.broker == "postgres":
            return self.postgres.process
        return next(iter(self.broker_processes(design)), None)

    @asynccontextmanager
    async def addresses(self, design: Design) -> AsyncIterator[Addresses]:
        """Start what the design needs, with a database of its own; stopped and dropped with the block."""
        name = f"compare_{design.folder}_{secrets.token_hex(3)}"
        password = secrets.token_urlsafe(16)
        database = await ensure_database(self.postgres.address, name, name, password)
        await make_tables(database, design)
        try:
            with_broker = await self._broker(design)
            yield {"database": database, "endpoint": f"tcp://127.0.0.1:{free_port()}", **with_broker}
        finally:
            await asyncio.to_thread(self._stop, design)
            await drop_database(self.postgres.address, name)

    async def _broker(self, design: Design) -> dict[str, str]:
        if design.broker == "nats":
            assert self.packages is not None
            nats = Nats(self.packages / "bin" / "nats-server", self.broker_folder(design))
            await self._start(design, [nats.process])
            return {"broker": nats.url}
        if design.broker == "rabbitmq":
            folder = self.broker_folder(design)
            root = await asyncio.to_thread(rootfs.ensure, Quiet())
            rabbitmq = RabbitMQ(root, folder)
            epmd, *nodes = rabbitmq.processes
            await self._start(design, [*nodes, epmd], first=[epmd])
            broker = rabbitmq.address
            await asyncio.to_thread(vhosts.create, broker, VHOST)
            await asyncio.to_thread(_declare, broker)
            return {"broker": broker.amqp_url_for(broker.username, broker.password, VHOST)}
        return {}

    async def _start(self, design: Design, processes: list[Process], first: Sequence[Process] = ()) -> None:
        # Started from this thread: the kernel ends them with the thread that started them.
        self._brokers[str(design.broker)] = processes
        deadline = time.monotonic() + START_S
        for process in [*first, *(each for each in processes if each not in first)]:
            process.spawn()
            await asyncio.to_thread(process.wait_ready, deadline)

    def _stop(self, design: Design) -> None:
        processes = self._brokers.pop(design.broker or "", [])
        if processes:
            stop_all(processes)
            shutil.rmtree(self.broker_folder(design), ignore_errors=True)


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="laundry-compare-"))
    # PostgreSQL runs as another user where this one is root.
    folder.chmod(0o755)
    return folder


@asynccontextmanager
async def servers(packages: Path | None) -> AsyncIterator[Servers]:
    """Start a database in a folder of its own; all of it goes with the block."""
    folder = _folder()
    try:
        found = Servers(folder, packages)
        try:
            await asyncio.to_thread(found.postgres.prepare)
            start_all([found.postgres.process], START_S)
            yield found
        finally:
            found.postgres.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _declare(broker: BrokerAddress) -> None:
    """Declare the queues around the readers; without the copies that only the history takes."""
    httpx.post(
        f"{broker.management_url}/api/definitions",
        json=definitions(PLAN.around(READERS), vhost=VHOST),
        auth=(broker.username, broker.password),
        timeout=30,
    ).raise_for_status()


def kill(process: Process) -> None:
    """End a server as a crash would."""
    pid = process.pid
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    process.kill()
    if process.child is not None:
        process.child.wait(10)


async def revive(process: Process) -> None:
    """Start it again, as whatever watches it would do, until it is ready. Raises ProcessFailed."""
    deadline = time.monotonic() + START_S
    while True:
        process.end_remains()
        process.spawn()
        try:
            await asyncio.to_thread(process.wait_ready, deadline)
        except ProcessFailed:
            # A database that was killed refuses until the last of its children is gone.
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(PAUSE_S)
        else:
            return


def tree(pids: Sequence[int]) -> list[psutil.Process]:
    """Return processes with all that they started."""
    found: list[psutil.Process] = []
    for pid in pids:
        with suppress(psutil.Error):
            root = psutil.Process(pid)
            found += [root, *root.children(recursive=True)]
    return found


def memory_mb(pids: Sequence[int]) -> float:
    """Return the memory of processes and what they started (PSS), MB."""
    used = 0
    for process in tree(pids):
        with suppress(psutil.Error):
            used += process.memory_full_info().pss
    return used / 1e6


def processor_s(pids: Sequence[int]) -> float:
    """Return the processor time that processes and what they started have used."""
    used = 0.0
    for process in tree(pids):
        with suppress(psutil.Error):
            times = process.cpu_times()
            used += times.user + times.system
    return used


def bytes_in(folder: Path) -> int:
    """Return how much a folder holds; what goes away meanwhile does not count."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            total += file.stat().st_size if file.is_file() else 0
    return total
