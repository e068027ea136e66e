"""The helper's tasks: a year of them, a tenth in one branch."""

from laundry_lab.bench.scale.databases import fill
from laundry_lab.bench.scale.growth import Reading
from laundry_lab.bench.scale.requests import Request, timed
from laundry_lab.bench.scale.sweeps import runs_of, swept
from laundry_lab.bench.scale.upgrades import upgraded
from laundry_lab.bench.stage import Stage

BUSY, QUIET, EMPTY = "scale-busy", "scale-1", "scale-empty"
OF_A_CHAIN = [BUSY, *(f"scale-{number}" for number in range(1, 20))]
HELPER = "scale-helper-1"

# Ids are made of the time, so their order is that of the times; the oldest come first. Of a thousand rows two
# are unreadable, two withdrawn, one waits to be confirmed; every 40th was corrected, every 50th has a note.
FILL = """
TRUNCATE tasks, submissions, inbox;
INSERT INTO tasks (
    id, branch_id, helper_id, note, status, version, submitted_at, photo_key, photo_sha256, photo_bytes,
    photo_media_type, read_labels, needs_review, multiple, model_version, read_at, unreadable_reason,
    confirmed_labels, corrected, confirmed_by, confirmed_at, photo_deleted_at, photo_gone_at, features_kept
)
SELECT made.id, made.branch, 'scale-helper-' || n % 1000,
    CASE WHEN h % 50 = 7 THEN 'note of ' || n END,
    made.status, 3, made.at, 'photos/' || made.branch || '/' || made.id || '.jpg',
    md5(n::text) || md5(n::text), 500000, 'image/jpeg',
    CASE WHEN read THEN '[{{"label": "shirt", "confidence": 0.93}}]'::jsonb END,
    CASE WHEN read THEN false END, CASE WHEN read THEN false END, CASE WHEN read THEN 'shipped-1' END,
    CASE WHEN read THEN made.at + interval '1 second' END,
    CASE WHEN made.status = 'unreadable' THEN 'no-laundry' END,
    CASE WHEN confirmed THEN '[{{"label": "shirt", "count": 2}}]'::jsonb END,
    CASE WHEN confirmed THEN h % 40 = 9 END, CASE WHEN confirmed THEN 'scale-owner' END,
    CASE WHEN confirmed THEN made.at + interval '1 minute' END,
    CASE WHEN old THEN made.at + interval '90 days' END, CASE WHEN old THEN made.at + interval '90 days' END,
    CASE WHEN old THEN false END
FROM (
    SELECT n, at, uuidv7(at - clock_timestamp()) AS id, at < now() - interval '90 days' AS old,
        CASE WHEN n % 10 = 0 THEN 'scale-busy' ELSE 'scale-' || n % {branches} END AS branch,
        CASE WHEN h % 1000 < 2 THEN 'unreadable' WHEN h % 1000 < 4 THEN 'withdrawn'
            WHEN h % 1000 < 5 THEN 'read' ELSE 'confirmed' END AS status,
        h, h % 1000 >= 2 AS read, h % 1000 >= 5 AS confirmed
    FROM (
        SELECT n, abs(hashint4(n)::bigint) AS h, now() - (n * (interval '365 days' / {rows})) AS at
        FROM generate_series({rows}::int, 1, -1) AS n
    ) AS numbered
) AS made;
INSERT INTO inbox (consumer, message_id, received_at)
SELECT 'helper.task-read', 'scale-' || n, now() - (n * (interval '28 days' / {rows}))
FROM generate_series(1, {rows}::int) AS n ON CONFLICT DO NOTHING;
INSERT INTO submissions (helper_id, key, task_id, expires_at)
SELECT 'scale-helper-' || n % 1000, 'scale-{rows}-' || n, uuidv7(), now() - (n * (interval '2 days' / {rows}))
FROM generate_series(1, {rows}::int) AS n;
"""


async def measure(stage: Stage, rows: int, branches: int) -> list[Reading]:
    """Fill the helper's database anew with so many tasks; time its lists, its sweep and an upgrade."""
    before = await runs_of(stage, "helper")
    await fill(stage, "helper", FILL, rows=rows, branches=branches)
    return [
        *await timed(stage, REQUESTS, rows),
        *await swept(stage, "helper", ["housekeeping"], rows, since=before),
        *await upgraded(stage, "helper", rows),
    ]


REQUESTS = (
    Request("tasks of a busy branch", "helper", "/tasks", "owner", [BUSY]),
    Request("tasks of a branch that has none", "helper", "/tasks", "owner", [EMPTY]),
    Request("tasks of an owner's 20 branches", "helper", "/tasks", "owner", OF_A_CHAIN),
    Request(
        "tasks to be confirmed, 20 branches", "helper", "/tasks", "owner", OF_A_CHAIN, {"status": "read"}
    ),
    Request("tasks with a note", "helper", "/tasks", "owner", [BUSY], {"note": "note of"}),
    Request(
        "tasks with a class that no load had",
        "helper",
        "/tasks",
        "owner",
        [BUSY],
        {"label": "hat"},
        growth="linear",
    ),
    Request(
        "tasks of a helper by name",
        "helper",
        "/tasks",
        "owner",
        [BUSY],
        {"helper": "nobody"},
        growth="linear",
    ),
    Request("all tasks", "helper", "/tasks", "operator"),
    Request("all unreadable tasks", "helper", "/tasks", "operator", (), {"status": "unreadable"}),
    Request("tasks submitted and not yet read", "helper", "/tasks", "operator", (), {"status": "submitted"}),
    Request("an empty branch, to an operator", "helper", "/tasks", "operator", (), {"branch_id": EMPTY}),
    Request("a helper's corrected tasks", "helper", "/tasks/corrected", "helper", [BUSY], subject=HELPER),
    Request("washed in 28 days, busy branch", "helper", "/tasks/washed", "owner", [BUSY], growth="linear"),
)
