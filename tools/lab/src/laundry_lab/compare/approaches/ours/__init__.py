"""The broker with an outbox before it and an inbox behind it: what the services do, by their own library."""

from laundry_lab.compare.approaches.design import Added, Design

DESIGN = Design(
    name="ours",
    title="RabbitMQ with outbox and inbox (ours)",
    folder="ours",
    broker="rabbitmq",
    # The tables of the outbox and the inbox come from the library.
    schema=("CREATE TABLE tasks (task_id text PRIMARY KEY, body bytea NOT NULL)",),
    subscriber=(
        Added(
            "way",
            "the plan",
            'Queue("task.submitted.statistics", ("task.submitted",), "statistics", "photos to count"),',
        ),
        Added(
            "taking",
            "the consumer",
            '@consumer.on("task.submitted.statistics", TaskSubmitted, prefetch=prefetch)',
        ),
        Added("state", "the consumer's migrations", "create_inbox(op)"),
        # The broker's rights follow from it and from the queue.
        Added("rights", "the plan", 'Service("statistics"),'),
    ),
    settings={},
    has_way=True,
)
