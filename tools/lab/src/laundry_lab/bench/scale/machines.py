"""Faults of a year, as many samples of a week, and a machine for each ten of them."""

from laundry_lab.bench.scale.databases import fill
from laundry_lab.bench.scale.growth import Reading
from laundry_lab.bench.scale.requests import Request, timed
from laundry_lab.bench.scale.sweeps import runs_of, swept
from laundry_lab.bench.scale.upgrades import upgraded
from laundry_lab.bench.stage import Stage

# Of a thousand faults one is open; a third rang nobody. All machines were heard just now.
FILL = """
TRUNCATE equipment, fault, sample;
INSERT INTO equipment (
    branch_id, id, kind, first_seen_at, recorded_at, received_at, metrics, open_faults, heard_at
)
SELECT 'scale-' || n % {branches}, 'machine-' || n,
    CASE n % 3 WHEN 0 THEN 'washer' WHEN 1 THEN 'dryer' ELSE 'boiler' END,
    now() - n * (interval '365 days' / {machines}), now(), now(), '{{"temperature_celsius": 60}}',
    CASE WHEN n % 100 = 7 THEN 1 ELSE 0 END, now() + interval '1 day'
FROM generate_series(1, {machines}::int) AS n;
INSERT INTO fault (
    id, equipment_id, branch_id, cause, key, fault_code, detected_at, cleared_at, cleared_by, rung_for
)
SELECT uuidv7(at - clock_timestamp()), 'machine-' || 1 + n % {machines},
    'scale-' || (1 + n % {machines}) % {branches},
    'fault_code', 'E' || n, 'E' || n, at, CASE WHEN n % 1000 <> 7 THEN at + interval '1 hour' END,
    CASE WHEN n % 1000 <> 7 THEN 'sample' END, CASE WHEN n % 3 = 0 AND n % 50 = 0 THEN 0 ELSE 1 END
FROM (
    SELECT n, now() - n * (interval '364 days' / {rows}) AS at FROM generate_series(1, {rows}::int) AS n
) AS numbered;
INSERT INTO sample (branch_id, equipment_id, recorded_at, metrics, received_at)
SELECT 'scale-' || (1 + n % {machines}) % {branches}, 'machine-' || 1 + n % {machines}, at,
    '{{"temperature_celsius": 60, "vibration_mm_s": 3}}', at
FROM (
    SELECT n, now() - n * (interval '8 days' / {rows}) AS at FROM generate_series(1, {rows}::int) AS n
) AS numbered;
"""
HANDLING = ("open", "escalated", "acknowledged")
OF_A_CHAIN = [f"scale-{number}" for number in range(20)]
REQUESTS = (
    Request("machines of 20 branches", "monitoring", "/equipment", "owner", OF_A_CHAIN),
    Request("all machines", "monitoring", "/equipment", "operator"),
    Request("all faulty machines", "monitoring", "/equipment", "operator", (), {"state": "faulty"}),
    Request("faults that are not closed, 20 branches", "monitoring", "/faults", "owner", OF_A_CHAIN),
    Request(
        "closed faults, 20 branches", "monitoring", "/faults", "owner", OF_A_CHAIN, {"handling": "closed"}
    ),
    Request(
        "closed faults of a branch without",
        "monitoring",
        "/faults",
        "owner",
        ["scale-no"],
        {"handling": "closed"},
    ),
    Request("all faults that are not closed", "monitoring", "/faults", "operator"),
    Request("all closed faults", "monitoring", "/faults", "operator", (), {"handling": "closed"}),
)


async def measure(stage: Stage, rows: int, branches: int) -> list[Reading]:
    """Fill monitoring's database anew with so many faults and samples; time lists, sweeps and an upgrade."""
    machines = max(100, rows // 10)
    before = await runs_of(stage, "monitoring")
    await fill(stage, "monitoring", FILL, rows=rows, machines=machines, branches=max(20, machines // 50))
    return [
        *await timed(stage, REQUESTS, rows),
        *await swept(stage, "monitoring", ["heartbeats", "prune"], rows, since=before),
        *await upgraded(stage, "monitoring", rows),
    ]
