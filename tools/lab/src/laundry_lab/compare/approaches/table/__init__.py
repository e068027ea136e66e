"""No broker but the database: a table is asked every few seconds, or NOTIFY tells of a row."""

from dataclasses import replace

from laundry_lab.compare.approaches.design import Design

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
        ("the table", "ALTER TABLE tasks ADD statistics_status text NOT NULL DEFAULT 'pending'"),
        ("the table", "CREATE INDEX ON tasks (id) WHERE statistics_status = 'pending'"),
        ("the grants", "GRANT SELECT, UPDATE (statistics_status) ON tasks TO statistics"),
    ),
    sender_changes=False,
    settings={"every_s": 5.0, "notify": False},
)
POLL_1 = replace(
    POLL_5, name="poll-1", title="polling a table every 1 s", settings={"every_s": 1.0, "notify": False}
)
NOTIFY = replace(
    POLL_5, name="notify", title="LISTEN/NOTIFY, polling below", settings={"every_s": 5.0, "notify": True}
)
