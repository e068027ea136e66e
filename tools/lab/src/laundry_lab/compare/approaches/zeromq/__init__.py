"""No broker: the helper pushes to its workers' sockets, and what is under way lies in memory."""

from laundry_lab.compare.approaches.design import Design

DESIGN = Design(
    name="zeromq",
    title="ZeroMQ PUSH/PULL",
    folder="zeromq",
    broker=None,
    schema=("CREATE TABLE tasks (task_id text PRIMARY KEY, body bytea NOT NULL)",),
    # PUSH gives each message to one peer: a second kind of consumer is a second socket of the sender.
    subscriber=(
        ("the helper's settings", "STATISTICS_ENDPOINT=tcp://*:5556"),
        ("the helper's start", "self._statistics = context.socket(zmq.PUSH)"),
        ("the helper's start", "self._statistics.bind(settings.statistics_endpoint)"),
        ("the helper's submit", "self._statistics.send(body, zmq.DONTWAIT)"),
        ("the consumer's settings", "HELPER_ENDPOINT=tcp://helper:5556"),
    ),
    sender_changes=True,
    settings={},
    has_way=True,
    has_packages=True,
)
