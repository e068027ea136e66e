"""The task is stored, then its event is sent without waiting (DD-02, lines 284 to 287)."""

import asyncio

import asyncpg
import zmq
import zmq.utils.monitor

from laundry_events.events import TaskSubmitted
from laundry_lab.compare.approaches.design import DATABASE_ERRORS, POOL, Addresses, NotAccepted

TASK = "INSERT INTO tasks (task_id, body) VALUES ($1, $2)"
PEER_S = 10


class Producer:
    """The helper's part: it binds, and the workers connect."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._socket = zmq.Context().socket(zmq.PUSH)

    async def start(self) -> None:
        """Bind, and wait until somebody is there to send to."""
        self._pool = await asyncpg.create_pool(self._addresses["database"], min_size=POOL, max_size=POOL)
        monitor = self._socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._socket.bind(self._addresses["endpoint"])
        await asyncio.to_thread(monitor.poll, PEER_S * 1000)
        self._socket.disable_monitor()

    async def submit(self, photo: TaskSubmitted) -> None:
        """Store the task, put its event into the socket's buffer."""
        body = photo.model_dump_json().encode()
        try:
            await self._pool.execute(TASK, photo.task_id, body)
            self._socket.send(body, zmq.DONTWAIT)
        except DATABASE_ERRORS as error:
            raise NotAccepted(str(error)) from error
        except zmq.Again as error:
            raise NotAccepted("no worker takes it, and the buffer is full") from error

    async def stop(self) -> None:
        """End, giving what is in the buffer a second to leave."""
        self._socket.close(linger=1000)
        await self._pool.close()
