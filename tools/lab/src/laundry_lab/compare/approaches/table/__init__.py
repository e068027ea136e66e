"""No broker but the database: a table is asked every few seconds, or NOTIFY tells of a row."""

from dataclasses import replace

from laundry_lab.compare.approaches.design import Added, Design

CLAIM = Added(
    "taking",
    "the consumer",
    "SELECT id, body FROM tasks WHERE statistics_status = 'pending' ORDER BY id LIMIT $1 "
    "FOR UPDATE SKIP LOCKED",
)
LISTEN = Added(
    "taking", "the consumer", 'await connection.add_listener("tasks", lambda *_: self._told.set())'
)

POLL_5 = Design(
    name="poll-5",
    title="polling a table every 5 s",
    folder="table",
    broker="postgres",
    schema=(
        "CREATE TABLE tasks (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, task_id text NOT NULL, "
        "body bytea NOT NULL, status text NOT NULL DEFAULT 'pending')",
        "CREATE INDEX tasks_pending ON tasks (id) WHERE status = 'pending'",
    ),
    subscriber=(
        CLAIM,
        Added(
            "state", "the table", "ALTER TABLE tasks ADD statistics_status text NOT NULL DEFAULT 'pending'"
        ),
        Added("state", "the table", "CREATE INDEX ON tasks (id) WHERE statistics_status = 'pending'"),
        Added("rights", "the grants", "GRANT SELECT, UPDATE (statistics_status) ON tasks TO statistics"),
    ),
    settings={"every_s": 5.0, "notify": False},
)
POLL_1 = replace(
    POLL_5, name="poll-1", title="polling a table every 1 s", settings={"every_s": 1.0, "notify": False}
)
NOTIFY = replace(
    POLL_5,
    name="notify",
    title="LISTEN/NOTIFY, polling below",
    subscriber=(LISTEN, *POLL_5.subscriber),
    settings={"every_s": 5.0, "notify": True},
)
