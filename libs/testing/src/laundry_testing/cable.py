"""The way to a server, to be pulled out and put back while a test runs."""

import asyncio
from contextlib import suppress

from laundry_servers.ports import free_port

PIECE = 65536


class Cable:
    """Carries what is sent to its port to a server, until it is pulled."""

    def __init__(self) -> None:
        """Take a port that stays this cable's while it is pulled."""
        self.port = free_port()
        self._target = ("", 0)
        self._ends: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def plug(self, host: str | None = None, port: int | None = None) -> None:
        """Lead to a server; without one to the last."""
        if host is not None and port is not None:
            self._target = (host, port)
        if self._server is not None:
            return
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def pull(self) -> None:
        """Break off what is open, and refuse what comes."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for end in list(self._ends):
            end.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        self._ends |= ends
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            ends.add(far_writer)
            self._ends.add(far_writer)
            if self._server is None:
                # Pulled meanwhile.
                far_writer.transport.abort()
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        self._ends -= ends


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(PIECE):
        writer.write(data)
        await writer.drain()
    writer.close()
