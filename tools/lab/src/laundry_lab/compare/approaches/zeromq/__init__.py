"""No broker: the helper pushes to its workers' sockets, and what is under way lies in memory."""

from laundry_lab.compare.approaches.design import Added, Design

DESIGN = Design(
    name="zeromq",
    title="ZeroMQ PUSH/PULL",
    folder="zeromq",
    broker=None,
    schema=("CREATE TABLE tasks (task_id text PRIMARY KEY, body bytea NOT NULL)",),
    # PUSH gives each message to one peer: a second kind of consumer is a second socket of the sender. What it
    # has done is noted nowhere, and there are no rights.
    subscriber=(
        Added("way", "the helper's settings", "STATISTICS_ENDPOINT=tcp://*:5556"),
        Added("way", "the helper's start", "self._statistics = context.socket(zmq.PUSH)"),
        Added("way", "the helper's start", "self._statistics.bind(settings.statistics_endpoint)"),
        Added("way", "the helper's submit", "self._statistics.send(body, zmq.DONTWAIT)"),
        Added("taking", "the consumer", "photo = await self._socket.recv()"),
    ),
    settings={},
    has_way=True,
    has_packages=True,
)
