"""Connects to public addresses only, whatever DNS says (SSRF).

The name is looked up once, the addresses are judged, and the connection goes to one of them: a name that
answers differently the next time (DNS rebinding) changes nothing. TLS still checks the name.
"""

import asyncio
import socket
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor

import httpcore

from notification.web_push.endpoints import is_public

LOOKUPS_AT_ONCE = 8


class Inside(httpcore.ConnectError):
    """A push service's name leads to an address that is not public."""


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """What the HTTP client opens connections with."""

    def __init__(self, anywhere: Collection[tuple[str, int]] = ()) -> None:
        """Reach public addresses, and ``anywhere`` those hosts and ports that are named."""
        self._anywhere = frozenset(anywhere)
        self._inner = httpcore.AnyIOBackend()
        # Not the process's own: a name server that hangs must not hold up whoever else looks something up.
        self._threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="push-service-lookup")
        self._lookups: dict[tuple[str, int], asyncio.Task[list[str]]] = {}

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Look the host up, judge its addresses, and connect to the first that answers."""
        options = list(socket_options or ())
        if (host, port) in self._anywhere:
            return await self._inner.connect_tcp(host, port, timeout, local_address, options)
        addresses = await self._addresses(host, port)
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: no push service is there."""
        raise Inside(f"{path} is no push service")

    async def sleep(self, seconds: float) -> None:
        """Sleep between a client's retries, of which there are none."""
        await asyncio.sleep(seconds)

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _addresses(self, host: str, port: int) -> list[str]:
        """Return a host's addresses, IPv4 first. Raises Inside if one of them is not public."""
        key = host, port
        # One lookup of a name at a time, however many wait for it: a slow one takes up one thread.
        if key not in self._lookups:
            task = self._lookups[key] = asyncio.create_task(self._look_up(host, port))
            task.add_done_callback(lambda ended: self._ended(key, ended))
        found = await asyncio.shield(self._lookups[key])
        if inside := [address for address in found if not is_public(address)]:
            raise Inside(f"{host} is at {inside[0]}, which is no public address")
        return found

    def _ended(self, key: tuple[str, int], task: asyncio.Task[list[str]]) -> None:
        del self._lookups[key]
        # Whoever waited may have gone meanwhile.
        if not task.cancelled():
            task.exception()

    async def _look_up(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(
                self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
        except OSError as error:
            raise httpcore.ConnectError(f"{host} cannot be looked up: {error}") from error
        found.sort(key=lambda each: each[0] != socket.AF_INET)
        return list(dict.fromkeys(str(each[4][0]) for each in found))
