"""A broker and an event store, written to side by side: NATS JetStream, and a table that is only added to.

DD-02 names Kafka and EventStoreDB (line 463). Neither runs without servers of its own; JetStream is a
log with acknowledged positions as Kafka is, and the table does what is asked of the store (lines 467 to 475).
"""

from laundry_lab.compare.approaches.design import Added, Design

EVENTS = """
CREATE TABLE events (
    event_id text PRIMARY KEY, type text NOT NULL, payload bytea NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(), processed_at timestamptz
)
"""

DESIGN = Design(
    name="event-store",
    title="JetStream and an event table, written twice",
    folder="event_store",
    broker="nats",
    schema=(
        EVENTS,
        "CREATE INDEX events_unprocessed ON events (recorded_at) WHERE processed_at IS NULL",
    ),
    subscriber=(
        # The stream brings photos to whoever asks; in the comparison a token is all the right that it takes.
        Added(
            "taking",
            "the consumer",
            'await stream.pull_subscribe("task.submitted", durable="statistics", config=...)',
        ),
        Added(
            "taking",
            "the consumer",
            "SELECT payload FROM events WHERE statistics_processed_at IS NULL "
            "AND recorded_at < now() - make_interval(secs => $1)",
        ),
        Added("state", "the store", "ALTER TABLE events ADD statistics_processed_at timestamptz"),
        Added(
            "state",
            "the store",
            "CREATE INDEX ON events (recorded_at) WHERE statistics_processed_at IS NULL",
        ),
        Added(
            "rights",
            "the grants",
            "GRANT SELECT, INSERT, UPDATE (statistics_processed_at) ON events TO statistics",
        ),
    ),
    settings={},
    has_way=True,
    has_packages=True,
)
