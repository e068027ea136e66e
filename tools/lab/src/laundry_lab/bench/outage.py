"""What a relay does while the broker is away: it waits, and neither spins nor fills the log."""

import asyncio
import time
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from laundry_lab.bench.figures import Figure
from laundry_lab.bench.ground import own_ground
from laundry_lab.bench.hands import hand
from laundry_lab.bench.outbox import empty, fewer, store, until
from laundry_lab.bench.stage import Stage
from laundry_servers.ports import free_port

AWAY_S = 20.0
ROWS = 5000
STORE_EVERY_S = 0.1
GROUP = f"Outbox relay, broker away for {AWAY_S:.0f} s"


class Door:
    """A way to the broker that can be shut: whoever came through it is cut off, whoever knocks is refused."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        # None that a connection of somebody else can take while the door is shut.
        self.port = free_port()

    async def open(self) -> None:
        """Let connections through."""
        self._server = await asyncio.start_server(self._through, "127.0.0.1", self.port)

    async def shut(self) -> None:
        """End them all and listen no more."""
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
    """Shut the way to the broker, go on storing rows, and look at the relay; then open it again."""
    seconds = max(2.0, AWAY_S * min(1.0, stage.scale))
    advance = stage.say("outbox: the broker is away", 1)
    async with own_ground(stage) as ground:
        parts = urlsplit(ground.amqp_url)
        door = Door(str(parts.hostname), parts.port or 5672)
        await door.open()
        login = parts.netloc.rpartition("@")[0]
        amqp_url = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{door.port}"))
        order = {"amqp_url": amqp_url, "database_url": ground.database_url, "log_level": "INFO"}
        database = await asyncpg.connect(ground.database_url, timeout=10, command_timeout=60)
        try:
            async with hand("relay", **order) as relay:
                await store(database, 10, name="before")
                await until(lambda: empty(database), "an empty outbox")
                await door.shut()
                lines, used = relay.log_lines, relay.processor_s
                began = time.perf_counter()
                await store(database, ROWS, name="meanwhile")
                number = 0
                while time.perf_counter() - began < seconds:
                    await store(database, 1, name=f"later{number}")
                    number += 1
                    await asyncio.sleep(STORE_EVERY_S)
                took = time.perf_counter() - began
                used, lines = relay.processor_s - used, relay.log_lines - lines
                await door.open()
                began = time.perf_counter()
                await until(lambda: fewer(database, ROWS + number), "the first row published")
                first = time.perf_counter() - began
                await until(lambda: empty(database), "everything published")
                drained = time.perf_counter() - began
        finally:
            await database.close(timeout=5)
            await door.shut()
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
        Figure(GROUP, "back → first rows published", first, "s", note="it connects anew once a second"),
        Figure(GROUP, "back → everything published", drained, "s", note=f"{ROWS + number} rows"),
    ]
