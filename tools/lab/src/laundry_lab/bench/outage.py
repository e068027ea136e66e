"""What a relay does while the broker is away: it waits, and neither spins nor fills the log."""

import asyncio
import time
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from laundry_lab.bench.figures import Figure
from laundry_lab.bench.outbox import empty, fewer, store, until
from laundry_lab.bench.scratch import scratch_space
from laundry_lab.bench.stage import Stage
from laundry_lab.bench.workers import worker
from laundry_servers.ports import free_port

AWAY_S = 20.0
ROWS = 5000
STORE_EVERY_S = 0.1
GROUP = f"Outbox relay, broker away for {AWAY_S:.0f} s"


class Proxy:
    """A TCP proxy before the broker; once shut, open connections are cut and new ones refused."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        # From below the ephemeral range: no outgoing connection takes it while the proxy is shut.
        self.port = free_port()

    async def open(self) -> None:
        """Listen, and forward every connection to the broker."""
        self._server = await asyncio.start_server(self._through, "127.0.0.1", self.port)

    async def shut(self) -> None:
        """Cut every connection and stop listening."""
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, back}
        await asyncio.gather(_copy(reader, back), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def measure(stage: Stage) -> list[Figure]:
    """Cut the relay off from the broker, go on storing rows and watch it; then let it through again."""
    seconds = max(2.0, AWAY_S * min(1.0, stage.scale))
    advance = stage.say("outbox: the broker is away", 1)
    async with scratch_space(stage) as scratch:
        parts = urlsplit(scratch.amqp_url)
        proxy = Proxy(str(parts.hostname), parts.port or 5672)
        await proxy.open()
        login = parts.netloc.rpartition("@")[0]
        amqp_url = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{proxy.port}"))
        order = {"amqp_url": amqp_url, "database_url": scratch.database_url, "log_level": "INFO"}
        database = await asyncpg.connect(scratch.database_url, timeout=10, command_timeout=60)
        try:
            async with worker("relay", **order) as relay:
                await store(database, 10, name="before")
                await until(lambda: empty(database), "an empty outbox")
                await proxy.shut()
                lines, used = relay.log_lines, relay.processor_s
                began = time.perf_counter()
                await store(database, ROWS, name="away")
                number = 0
                while time.perf_counter() - began < seconds:
                    await store(database, 1, name=f"later{number}")
                    number += 1
                    await asyncio.sleep(STORE_EVERY_S)
                took = time.perf_counter() - began
                used, lines = relay.processor_s - used, relay.log_lines - lines
                await proxy.open()
                began = time.perf_counter()
                await until(lambda: fewer(database, ROWS + number), "the first row published")
                first = time.perf_counter() - began
                await until(lambda: empty(database), "everything published")
                drained = time.perf_counter() - began
        finally:
            await database.close(timeout=5)
            await proxy.shut()
    advance(1)
    return [
        Figure(
            GROUP,
            "processor time",
            100 * used / took,
            "% of a core",
            note="rows are stored ten times a second",
        ),
        Figure(GROUP, "lines in its log", lines, "", note=f"in {took:.0f} s, level INFO"),
        Figure(GROUP, "back → first rows published", first, "s", note="it reconnects once a second"),
        Figure(GROUP, "back → everything published", drained, "s", note=f"{ROWS + number} rows"),
    ]
