"""One PUSH socket and one PULL socket."""

import asyncio
import time

import zmq

from laundry_lab.compare.approaches.design import Addresses
from laundry_lab.compare.approaches.transport import Pacer, Taken


class Way:
    """Sockets that block, in a thread: the quickest that the library has."""

    async def send(self, addresses: Addresses, pacer: Pacer) -> None:
        """Send; when the other side's buffer is full, wait."""

        def run() -> None:
            with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
                socket.connect(addresses["endpoint"])
                for _ in range(pacer.number):
                    socket.send(pacer.body())
                    if pacer.pause_s:
                        time.sleep(pacer.pause_s)

        await asyncio.to_thread(run)

    async def take(self, addresses: Addresses, taken: Taken) -> None:
        """Receive bodies until all have come; there is nothing to acknowledge."""
        loop = asyncio.get_running_loop()

        def run() -> None:
            with zmq.Context() as context, context.socket(zmq.PULL) as socket:
                socket.bind(addresses["endpoint"])
                loop.call_soon_threadsafe(taken.ready.set)
                while not taken.add(socket.recv()):
                    pass

        await asyncio.to_thread(run)
